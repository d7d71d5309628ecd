"""Every config of configs/transfer, inherited by name: loaded strictly, trained for two steps, validated.

Only what a machine lacks or has no time for is replaced: the data by digit scenes under the names
that the config gives, their size, the number of proposals, the batch, and the file of the backbone.
"""

import gc
import math
import shutil
from pathlib import Path

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from tests.conftest import REPO

from .catalog import inherit, leaves
from .detection_data import lay_out

models = pytest.importorskip('mmdet.models', reason='mmdet is not installed')

TRANSFER = REPO / 'configs' / 'transfer'
CONFIGS = [path.stem for path in leaves(TRANSFER)]
PIXELS = 96
SHARED = {'vehicles': 'vehicles', 'coco256': 'coco256_416px'}  # config's name -> folder


@pytest.fixture(scope='module')
def place(demo_data, tmp_path_factory):
    """A folder with ``data/`` as the configs expect it."""
    root = lay_out(tmp_path_factory.mktemp('transfer'), demo_data / 'scenes')
    yield root
    shutil.rmtree(root)


@pytest.fixture
def run(place, monkeypatch, request):
    """Makes a config short, and gives its runner."""
    monkeypatch.chdir(place)
    torch.set_num_threads(1)

    def run(cfg: Config) -> Runner:
        shorten(cfg)
        cfg.work_dir = str(place / 'runs')
        cfg.experiment_name = request.node.name
        cfg.visualizer.update(name=request.node.name, vis_backends=None)
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner

    yield run
    shutil.rmtree(place / 'runs', ignore_errors=True)
    gc.collect()  # a runner refers to itself


def shorten(cfg: Config) -> None:
    for loader in filter(None, (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)):
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        for pipeline in pipelines(loader.dataset):
            for step in pipeline:
                if 'scale' in step:
                    step.scale = (PIXELS, PIXELS)
                if 'scales' in step:
                    step.scales = [(PIXELS, PIXELS), (PIXELS, PIXELS - 32)]
    length = 'max_iters' if cfg.train_cfg.type == 'IterBasedTrainLoop' else 'max_epochs'
    cfg.train_cfg[length] = cfg.train_cfg.val_interval = 2 if length == 'max_iters' else 1
    model = cfg.model
    final = model.test_cfg
    if 'roi_head' in model:  # C4's head runs layer4 once for each proposal
        model.train_cfg.rpn_proposal.update(nms_pre=100, max_per_img=20)
        model.train_cfg.rcnn.sampler.num = 8
        model.test_cfg.rpn.update(nms_pre=100, max_per_img=8)
        final = model.test_cfg.rcnn
    final.update(score_thr=0, max_per_img=8)  # two steps teach it nothing that it is sure of
    cfg.default_hooks.checkpoint = None


def pipelines(dataset: dict):
    """Those of the datasets proper, from inside RepeatDataset and ConcatDataset."""
    if 'pipeline' in dataset:
        yield dataset.pipeline
    for inner in dataset.get('datasets') or [dataset.get('dataset')]:
        if inner:
            yield from pipelines(inner)


def give_backbone(cfg: Config, place: Path) -> dict:
    """Name a file of what the config's backbone was before it was trained; returns its tensors."""
    backbone = cfg.model.backbone
    name = backbone.get('model_name') or f'resnet{backbone.depth}'
    file = place / f'{name}.pth'
    if not file.exists():
        torch.manual_seed(0)
        torch.save(timm.create_model(name).state_dict(), file)
    head = cfg.model.get('roi_head', {}).get('shared_head')
    for part in [backbone] + ([head] if head else []):
        part.init_cfg.checkpoint = str(file)
    cfg.custom_hooks = [dict(type='hsakd_mm.BackboneCheckHook', checkpoint=str(file))]
    return torch.load(file)


def finite_losses(runner: Runner) -> dict:
    logged = {key: buffer.current() for key, buffer in runner.message_hub.log_scalars.items()}
    losses = {key: value for key, value in logged.items() if key.startswith('train/loss')}
    assert losses and all(map(math.isfinite, losses.values())), logged
    return logged


@pytest.mark.parametrize('name', CONFIGS)
def test_two_steps(name, place, run, tmp_path) -> None:
    cfg = inherit(f'transfer/{name}', tmp_path)
    weights = give_backbone(cfg, place)
    deeper = '_r34_' in name or '_r50_' in name  # they are measured as R18 is: not once more
    if deeper:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    runner = run(cfg)
    assert runner.iter >= 2
    logged = finite_losses(runner)
    assert deeper or any(key.endswith(('bbox_mAP', 'pascal_voc/mAP')) for key in logged), logged

    # Every tensor of the file has its place (the hook has seen its value there), also C4's layer4.
    backbone = runner.model.backbone
    shared = getattr(getattr(runner.model, 'roi_head', None), 'shared_head', None)
    places = [*backbone.state_dict(), *(shared.state_dict() if shared is not None else ())]
    unused = getattr(backbone, 'unused_keys', ('fc.weight', 'fc.bias'))
    assert sorted([*places, *unused]) == sorted(weights)

    # What the config's switches say: stem and first stage are as they came (of a CNN), the others are trained.
    own = dict(backbone.named_parameters())
    frozen = {key for key, value in own.items() if not value.requires_grad}
    transformer = any(isinstance(module, torch.nn.LayerNorm) for module in backbone.modules())
    assert bool(frozen) != transformer and all(torch.equal(own[key], weights[key]) for key in frozen)
    if cfg.model.backbone.type == 'ResNet':
        assert frozen == {key for key in own if key.startswith(('conv1.', 'bn1.', 'layer1.'))}
    norms = [module for module in backbone.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    assert bool(norms) != transformer and not any(norm.training for norm in norms)
    assert any(not torch.equal(own[key], weights[key]) for key in own)


@pytest.mark.parametrize('name', SHARED)
def test_small_sets_from_end_to_end(name, place, run) -> None:
    """The photographs themselves: an epoch of a few, and the AP of all images of its val."""
    folder = REPO.parent / 'shared' / 'data' / SHARED[name]
    if not folder.is_dir():
        pytest.skip(f'no {SHARED[name]} at {folder}')
    cfg = Config.fromfile(TRANSFER / f'faster-rcnn_r18_fpn_{name}.py')
    give_backbone(cfg, place)
    cfg.merge_from_dict(
        {
            **{f'{part}_dataloader.dataset.data_root': f'{folder}/' for part in ('train', 'val', 'test')},
            'val_evaluator.ann_file': f'{folder}/val.json',
            'train_dataloader.dataset.indices': 4,
            'val_dataloader.dataset.indices': 8,
        }
    )
    runner = run(cfg)
    assert runner.iter == 2
    logged = finite_losses(runner)
    assert 0 <= logged['val/coco/bbox_mAP'] <= 1
    assert runner.val_dataloader.dataset.metainfo['classes'] == tuple(
        category['name'] for category in runner.val_evaluator.metrics[0]._coco_api.dataset['categories']
    )
