"""The paper's ImageNet configs as they are: built, and two steps taken on real photographs.

Only what a machine lacks is replaced: the number of images, the batch, and torchvision's
downloaded ResNet-34, in whose place stands one of the same keys that nobody has trained.
"""
import glob

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from hsakd_mm.checkpoint import load_checkpoint
from tests.conftest import REPO

STEPS, BATCH = 2, 2


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    """A thousand class folders with a crop of a photograph each."""
    from PIL import Image
    from sklearn.datasets import load_sample_images
    root = tmp_path_factory.mktemp('imagenet')
    photographs = [Image.fromarray(photograph) for photograph in load_sample_images().images]
    for label in range(1000):
        photograph = photographs[label % 2]
        left, top = (7 * label) % 400, (3 * label) % 200
        crop = photograph.crop((left, top, left + 240, top + 227))
        for split in ('train', 'val'):
            folder = root / split / f'n{label:08d}'
            folder.mkdir(parents=True)
            crop.save(folder / f'{label}.JPEG', quality=60)
    return root


def two_steps(config: str, imagenet, work_dir, **overrides) -> Runner:
    torch.set_num_threads(2)
    cfg = Config.fromfile(REPO / 'configs' / f'{config}.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(batch_size=BATCH, num_workers=0, persistent_workers=False, pin_memory=False)
        loader.dataset.update(data_root=str(imagenet), indices=STEPS * BATCH)
    cfg.train_cfg.max_epochs = 1
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = str(work_dir)
    cfg.merge_from_dict(overrides)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == STEPS
    return runner


def test_teacher_then_student(imagenet, tmp_path) -> None:
    backbone = tmp_path / 'resnet34.pth'
    torch.save(timm.create_model('resnet34').state_dict(), backbone)
    runner = two_steps('hsakd/imagenet_r34_teacher', imagenet, tmp_path / 'teacher',
                       **{'model.checkpoint': str(backbone)})
    frozen = torch.load(backbone)['layer4.2.conv2.weight']
    assert torch.equal(runner.model.backbone.layer4[2].conv2.weight.cpu(), frozen)

    runner = two_steps('hsakd/imagenet_r34_r18', imagenet, tmp_path / 'student',
                       **{'default_hooks.distillation.checkpoint': str(tmp_path / 'teacher'),
                          'default_hooks.distillation.check': False})  # it cannot be better
    best, = glob.glob(f'{tmp_path}/student/best_accuracy_top1_epoch_1.pth')
    state_dict = load_checkpoint(best)['state_dict']
    parameters = dict(runner.model.named_parameters())
    assert sum(state_dict[key].numel() for key in parameters) == 11689512 + 47555456


@pytest.mark.parametrize('config', ['hsakd/imagenet_r34_teacher_joint', 'baselines/imagenet_r18'])
def test_the_others_build(config) -> None:
    from hsakd_mm.registry import MODELS
    cfg = Config.fromfile(REPO / 'configs' / f'{config}.py')
    model = MODELS.build(cfg.model)
    assert model.backbone.num_classes == 1000
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize('config', sorted(glob.glob(str(REPO / 'configs/hsakd/*.py'))))
def test_the_papers_recipe(config) -> None:
    """papers.md 1.5 in the reference code's words: 256, SGD .1/.9/1e-4, /10 at 30, 60, 90."""
    cfg = Config.fromfile(config)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (0.1, 0.9, 1e-4)
    assert not optimizer.get('nesterov')
    assert 8 * cfg.train_dataloader.batch_size == 256 == cfg.auto_scale_lr.base_batch_size
    assert cfg.train_cfg.max_epochs == 100
    assert cfg.param_scheduler.milestones == [30, 60, 90]
    assert cfg.param_scheduler.gamma == 0.1
