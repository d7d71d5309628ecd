"""Every config that pretrains, inherited by name: built, two steps taken on real pictures, validated.

Only what a machine lacks is replaced: the number of images, their size on ImageNet, the batch, and
teachers that someone has trained, in whose place stand the networks of the teachers' own configs.
"""

import copy
import gc
import math
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch.optim.optimizer import register_optimizer_step_pre_hook

from hsakd_mm.checkpoints.loading import load_backbone_weights
from hsakd_mm.checkpoints.pretrained import head_names
from hsakd_mm.checkpoints.work_dir import find_checkpoint
from tests.configs.catalog import CONFIGS, REPO, backbone_configs, inherit, load

BATCH, STEPS = 2, 2
SMALLER = {224: 32, 256: 40, 32: 16}  # pixels

# One of each method also writes checkpoints and texts, as a run does; the others save the time.
IN_FULL = (
    'baselines/cifar100_wrn16_2',
    'baselines/cifar100_kd_wrn40_2_wrn16_2',
    'hsakd/cifar100_wrn40_2_teacher',
    'hsakd/cifar100_wrn40_2_wrn16_2',
    'hssakd/cifar100_wrn40_1_online',
)


@pytest.fixture
def build(workplace, monkeypatch, request):
    """Builds the runner of a config; what it writes is removed afterwards."""
    monkeypatch.chdir(workplace.root)
    torch.set_num_threads(1)
    made = []

    def build(name: str, cfg: Config) -> Runner:
        for part in ('train', 'val', 'test'):
            few_images(cfg[f'{part}_dataloader'], backbone_configs(cfg)[0].num_classes, request)
        cfg.train_dataloader.dataset.indices = STEPS * BATCH
        cfg.train_cfg.max_epochs = 1
        for start in ('checkpoint', 'load_backbone_from'):
            if cfg.model.get(start):
                cfg.model[start] = workplace.provide(cfg.model[start])
        if 'distillation' in cfg.default_hooks:
            hook = cfg.default_hooks.distillation
            hook.update(checkpoint=workplace.provide(hook.checkpoint), check=False)
        if name not in IN_FULL:
            cfg.default_hooks.checkpoint = None
            monkeypatch.setattr(Config, 'pretty_text', property(lambda self: ''))  # slow
        cfg.work_dir = cfg.experiment_name = str(workplace.root / 'runs' / name)
        made.append(cfg.work_dir)
        return Runner.from_cfg(cfg)

    yield build
    for path in made:
        shutil.rmtree(path)
    gc.collect()  # a runner refers to itself, and holds a hundred million weights


def few_images(loader: dict, classes: int, request) -> None:
    loader.update(batch_size=BATCH, num_workers=0, persistent_workers=False, pin_memory=False)
    dataset = loader.dataset
    dataset.update(indices=BATCH, serialize_data=False, verify=False)
    if dataset.type == 'CIFAR100':
        dataset.update(data_root=str(request.getfixturevalue('cifar100')), download=False)
    elif dataset.type == 'UnlabelledImages':
        dataset.data_root = str(request.getfixturevalue('imagenet'))
    else:
        assert dataset.type == 'ImageFolder'
        dataset.data_root = str(request.getfixturevalue('imagenet'))
        # In place of a set of fewer classes, as many of its folders.
        dataset.metainfo = dict(classes=[f'n{label:08d}' for label in range(classes)])
    for transform in dataset.pipeline:
        if 'size' in transform:
            transform.size = SMALLER[transform.size]


# RSKD's adapters: a layer that starts as zero follows, and gets its first gradient in the second step.
BEHIND_ZERO = tuple(f'adapters.{number}.0.weight' for number in range(3))


@contextmanager
def gradients():
    """A dict that is filled at an optimizer's step: parameter -> sum of its gradient's size."""
    seen = {}

    def look(optimizer, args, kwargs) -> None:
        for group in optimizer.param_groups:
            seen.update(
                (parameter, parameter.grad.abs().sum().item())
                for parameter in group['params']
                if parameter.grad is not None
            )

    handle = register_optimizer_step_pre_hook(look)
    try:
        yield seen
    finally:
        handle.remove()


def two_steps(runner: Runner) -> dict:
    """Trains; what was logged at last, by key."""
    runner.train()
    assert runner.iter == STEPS
    logged = {key: buffer.current() for key, buffer in runner.message_hub.log_scalars.items()}
    losses = [value for key, value in logged.items() if key.startswith('train/loss')]
    assert losses and all(map(math.isfinite, losses)), logged
    return logged


@pytest.mark.parametrize('name', CONFIGS)
def test_two_steps(name, build, tmp_path) -> None:
    runner = build(name, inherit(name, tmp_path))
    with gradients() as seen:
        logged = two_steps(runner)

    frozen, new_head = (getattr(runner.model, name, False) for name in ('frozen_backbone', 'new_head'))
    head = {f'backbone.{key}' for key in head_names(runner.model.backbones[0]) if new_head}
    for key, parameter in runner.model.named_parameters():
        unused = not parameter.requires_grad  # a classifier that its method does not use
        if unused or (frozen and key.startswith('backbone.') and key not in head):
            assert parameter not in seen, key
        else:
            assert 0 < seen[parameter] < math.inf or (key.endswith(BEHIND_ZERO) and seen[parameter] == 0), key
    if frozen:
        given = load_backbone_weights(find_checkpoint(runner.model.checkpoint))
        for key, value in runner.model.backbone.state_dict().items():
            assert f'backbone.{key}' in head or torch.equal(value.cpu(), given.get(key, value.cpu())), key

    saved = load(name).default_hooks.checkpoint
    measured = {key.removeprefix('val/') for key in logged}
    has_labels = load(name).val_dataloader.dataset.type != 'UnlabelledImages'
    expected = {'accuracy/top1', 'accuracy/top5'} if has_labels else {saved.save_best}
    assert expected | {saved.get('save_best', 'accuracy/top1')} <= measured
    if name in IN_FULL:
        kind = 'best_' if 'save_best' in saved else 'epoch_1.pth'
        assert Path(find_checkpoint(runner.work_dir)).name.startswith(kind)


def test_in_a_project_with_its_own_scope(build, tmp_path) -> None:
    """What is inherited is looked up in our scope, also the teacher, which is built when training starts."""
    name = 'hsakd/cifar100_r56_r20'
    cfg = inherit(name, tmp_path)
    cfg.default_scope = 'mmengine'
    two_steps(build(name, cfg))


def test_the_foundation_teacher_of_the_page(build, workplace, tmp_path, monkeypatch) -> None:
    """The foundation teacher: the two files as they stand there, the second taught by the first."""
    page = (REPO / 'docs/networks.md').read_text()
    files = re.findall(r'^```python title="(dino_\w+)\.py"\n(.*?)^```', page, re.M | re.S)
    assert [name for name, _ in files] == ['dino_teacher', 'dino_student']
    monkeypatch.setitem(SMALLER, 224, 56)  # a multiple of the ViT's patches
    for name, text in files:
        assert 'img_size=224' in text
        (tmp_path / f'{name}.py').write_text(text.replace('img_size=224', 'img_size=56'))
        cfg = Config.fromfile(tmp_path / f'{name}.py')
        workplace.models[f'work_dirs/{name}'] = copy.deepcopy(cfg.model)
        assert two_steps(build(name, cfg))
