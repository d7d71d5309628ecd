"""The configs against what the papers and the reference code say (papers.md 1.3, 1.5, 1.6, 2)."""

import re

import pytest

from tests.configs.catalog import CONFIGS, REPO, backbone_configs, load, work_dir

PAIRS = (
    'wrn40_2 wrn16_2',
    'wrn40_2 wrn40_1',
    'r56 r20',
    'r32x4 r8x4',
    'vgg13 mbv2',
    'r50 mbv2',
    'wrn40_2 shv1',
    'r32x4 shv2',
)
TEACHERS = ('wrn40_2', 'r56', 'r32x4', 'vgg13', 'r50')
ONLINE = ('wrn40_2', 'wrn40_1', 'r56', 'r32x4', 'vgg13', 'mbv2', 'shv1', 'shv2')
SLOW = ('mbv2', 'shv1', 'shv2')  # start at lr 0.01
NETWORK = re.compile(r'wrn\d+_\d|r\d+(?:x4)?|vgg13|mbv2|shv[12]')
OURS = [name for name in CONFIGS if name.split('/')[0] in ('baselines', 'hsakd', 'hssakd')]
CIFAR = [name for name in OURS if '/cifar100_' in name]
IMAGENET = [name for name in OURS if '/imagenet_' in name]


def networks(name: str) -> list:
    """The networks in a CIFAR config's name; it trains the last, and the first may teach it."""
    return NETWORK.findall(name.partition('/cifar100_')[2])


def pairs(pattern: str) -> set:
    return {pattern.format(*pair.split()) for pair in PAIRS}


def test_one_config_for_each_row_of_the_tables() -> None:
    students = pairs('hsakd/cifar100_{}_{}') | pairs('hsakd/cifar100_{}_joint_{}')
    teachers = {f'hsakd/cifar100_{net}_{kind}' for net in TEACHERS for kind in ('teacher', 'teacher_joint')}
    few = {f'hsakd/cifar100_r56_r20_{part}percent' for part in (25, 50, 75)}
    online = {f'hssakd/cifar100_{net}_online' for net in ONLINE}
    every = {net for pair in PAIRS for net in pair.split()} | set(ONLINE)
    plain = {f'baselines/cifar100_{net}' for net in every}
    kd = pairs('baselines/cifar100_kd_{}_{}')
    assert len(students) == 16 and len(teachers) == 10 and len(plain) == 12 and len(kd) == 8
    assert set(CIFAR) == students | teachers | few | online | plain | kd
    r34 = {f'hsakd/imagenet_r34_{which}' for which in ('teacher', 'teacher_joint', 'r18', 'joint_r18')}
    assert set(IMAGENET) == r34 | {'baselines/imagenet_r18', 'hssakd/imagenet_r18_online'}


@pytest.mark.parametrize('name', CIFAR)
def test_cifar_recipe(name) -> None:
    cfg = load(name)
    optimizer = cfg.optim_wrapper.optimizer
    lr = 0.01 if networks(name)[-1] in SLOW else 0.05
    assert optimizer == dict(type='SGD', lr=lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    frozen = name.endswith('_teacher')
    assert cfg.model.get('frozen_backbone', False) == frozen
    assert cfg.train_cfg.max_epochs == (100 if frozen else 240)
    steps = cfg.param_scheduler
    assert (steps.type, steps.by_epoch, steps.gamma) == ('MultiStepLR', True, 0.1)
    assert steps.milestones == ([30, 60, 90] if frozen else [150, 180, 210])
    loader = cfg.train_dataloader
    assert loader.batch_size == 64 == cfg.auto_scale_lr.base_batch_size
    part = int(name[-9:-7]) / 100 if name.endswith('percent') else 1
    assert (loader.dataset.get('fraction', 1), loader.dataset.get('split_seed', 0)) == (part, 0)
    assert [step.type for step in loader.dataset.pipeline] == [
        'torchvision/RandomCrop',
        'torchvision/RandomHorizontalFlip',
        'PackInputs',
    ]
    assert (loader.dataset.pipeline[0].size, loader.dataset.pipeline[0].padding) == (32, 4)
    assert (
        cfg.data_preprocessor
        == cfg.model.data_preprocessor
        == dict(
            type='ImagePreprocessor',
            mean=pytest.approx([255 * x for x in (0.5071, 0.4867, 0.4408)]),
            std=pytest.approx([255 * x for x in (0.2675, 0.2565, 0.2761)]),
        )
    )


@pytest.mark.parametrize('name', IMAGENET)
def test_imagenet_recipe(name) -> None:
    cfg = load(name)
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4)
    assert 8 * cfg.train_dataloader.batch_size == 256 == cfg.auto_scale_lr.base_batch_size
    assert cfg.train_cfg.max_epochs == 100
    assert (cfg.param_scheduler.milestones, cfg.param_scheduler.gamma) == ([30, 60, 90], 0.1)


@pytest.mark.parametrize('name', CIFAR + IMAGENET)
def test_loss_and_checkpoint(name) -> None:
    """Temperatures, weights, and which checkpoint is handed on."""
    cfg = load(name)
    model, saved = cfg.model, cfg.default_hooks.checkpoint
    if model.type == 'KD':
        assert (model.temperature, model.ce_weight, model.kd_weight) == (4, 0.1, 0.9)
    elif model.type in ('HSAKD', 'HSSAKDOnline'):
        assert model.temperature == 3 and model.pretext == dict(type='Rotation')
    if model.type == 'HSAKD':
        switches = ('kl_branches', 'kl_unrotated', 'kl_rotated', 'ce_branches')
        weights = tuple(model.get(switch) for switch in switches)
        assert weights == ((None,) * 4 if name in IMAGENET else (1, 0, 1, 0))
    best = saved.get('save_best')
    if model.type == 'HSAKDTeacher':
        assert best == ('branch/joint_max' if name in IMAGENET else None)
        assert [metric.type for metric in cfg.val_evaluator] == ['Accuracy', 'BranchAccuracy']
    else:
        assert (best, saved.rule) == ('accuracy/top1', 'greater')
        assert cfg.val_evaluator == dict(type='Accuracy', topk=(1, 5))
    assert saved.interval == 1  # the last one is kept as well


@pytest.mark.parametrize('name', CIFAR)
def test_it_is_the_network_that_it_is_compared_with(name) -> None:
    plain = load(f'baselines/cifar100_{networks(name)[-1]}').model.backbone
    assert backbone_configs(load(name)) == [plain] * (2 if name.startswith('hssakd') else 1)


@pytest.mark.parametrize(
    'name', [name for name in CIFAR if '_teacher' not in name and load(name).model.type in ('HSAKD', 'KD')]
)
def test_teacher(name) -> None:
    """It is looked for where its own config leaves it, and is what that config trained."""
    hook = load(name).default_hooks.distillation
    source = f'baselines/cifar100_{networks(name)[0]}'
    if name.startswith('hsakd'):
        kind = 'teacher_joint' if '_joint_' in name else 'teacher'
        source = f'hsakd/cifar100_{networks(name)[0]}_{kind}'
    assert hook.checkpoint == work_dir(source)
    trained = load(source).model
    for part in ('type', 'backbone', 'branches', 'pretext', 'data_preprocessor'):
        assert hook.teacher.get(part) == trained.get(part)


def test_work_directories_are_apart() -> None:
    every = [work_dir(name) for name in CONFIGS]
    assert len(set(every)) == len(every)


def test_configs_name_no_machine() -> None:
    for path in (REPO / 'configs').rglob('*.py'):
        assert not re.search(r'[\'"]/\w', path.read_text()), path
