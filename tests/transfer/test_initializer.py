"""Every weight of a detector's backbone comes from the file, or nothing starts."""

import pytest
import torch
import torchvision
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from hsakd_mm.checkpoints.backbone_file import read_backbone
from hsakd_mm.checkpoints.export import export_backbone
from hsakd_mm.checkpoints.loading import sha256
from hsakd_mm.errors import UserError
from hsakd_mm.transfer import BackboneCheckHook
from tests.conftest import REPO

models = pytest.importorskip('mmdet.models', reason='mmdet is not installed')
from mmdet.registry import MODELS  # noqa: E402


@pytest.fixture(scope='module')
def file(full_width, tmp_path_factory) -> str:
    return export_backbone(str(full_width[0]), str(tmp_path_factory.mktemp('out') / 'r18')).pth


@pytest.fixture(autouse=True)
def mmdet_scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def resnet(checkpoint, **kwargs):
    init_cfg = dict(type='hsakd_mm.StrictPretrained', checkpoint=str(checkpoint))
    return MODELS.build(dict(dict(type='ResNet', depth=18, init_cfg=init_cfg), **kwargs))


def timm_resnet(checkpoint, **kwargs):
    init_cfg = dict(type='hsakd_mm.StrictPretrained', checkpoint=str(checkpoint))
    return MODELS.build(dict(dict(type='hsakd_mm.TimmDetBackbone', model_name='resnet18', init_cfg=init_cfg), **kwargs))


def detector(checkpoint, config: str = 'transfer/faster-rcnn_r18_fpn_1x_coco'):
    cfg = Config.fromfile(REPO / 'configs' / f'{config}.py')
    cfg.model.backbone.init_cfg.checkpoint = str(checkpoint)
    return MODELS.build(cfg.model)


def holds(module, weights) -> None:
    own = module.state_dict()
    assert set(own) == set(weights)
    assert all(torch.equal(own[key], weights[key]) for key in own)


def test_the_whole_detector_keeps_what_was_loaded(file, log) -> None:
    weights = torch.load(file)
    model = detector(file)
    assert model.backbone.frozen_stages == 1 and model.backbone.norm_eval
    model.init_weights()
    holds(model.backbone, weights)
    model.train()
    holds(model.backbone, weights)
    assert not model.backbone.layer1[0].conv1.weight.requires_grad
    assert model.backbone.layer2[0].conv1.weight.requires_grad
    (line,) = [line for line in log if line.startswith('StrictPretrained: ')]
    assert '120 of 120 tensors' in line and sha256(file) in line
    assert 'trained on RGB, mean [10.0, 20.0, 30.0], std [40.0, 50.0, 60.0]' in line


def test_safetensors_and_torchvision_files(file, tmp_path, log) -> None:
    model = resnet(file.replace('.pth', '.safetensors'))
    model.init_weights()
    holds(model, torch.load(file))
    torchvision_net = torchvision.models.resnet18()
    torch.save(torchvision_net.state_dict(), tmp_path / 'tv.pth')
    model = resnet(tmp_path / 'tv.pth')
    model.init_weights()
    assert torch.equal(model.layer4[1].conv2.weight, torchvision_net.layer4[1].conv2.weight)
    assert any('left over: the classifier (fc.weight, fc.bias)' in line for line in log)


def test_children_with_initializers_of_their_own_do_not_overwrite(file) -> None:
    model = resnet(file)
    for block in model.layer4:
        block.init_cfg = dict(type='Constant', val=0, override=dict(name='norm2'))
    model.init_weights()
    holds(model, torch.load(file))


def test_a_training_checkpoint_needs_its_prefix(full_width, file) -> None:
    path, _ = full_width
    init_cfg = dict(type='hsakd_mm.StrictPretrained', checkpoint=str(path), prefix='backbone.')
    model = resnet(path, init_cfg=init_cfg)
    model.init_weights()
    holds(model, torch.load(file))
    with pytest.raises(UserError, match=r"keys under 'net1\.' were expected"):
        resnet(path, init_cfg=dict(init_cfg, prefix='net1.')).init_weights()


def half_of_the_stages(weights):
    return {key: value for key, value in weights.items() if 'layer3' not in key and 'layer4' not in key}


def one_other_shape(weights):
    return {**weights, 'conv1.weight': weights['conv1.weight'][:, :1]}


def with_branches(weights):
    return {**weights, 'branches.0.fc.weight': torch.zeros(2)}


def refused(model, sentence) -> None:
    """It says so, and the network is what it was."""
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UserError, match=sentence):
        model.init_weights()
    holds(model, before)


@pytest.mark.parametrize('build', [resnet, timm_resnet])
@pytest.mark.parametrize(
    'change, sentence',
    [
        (
            lambda weights: {f'backbone.{key}': value for key, value in half_of_the_stages(weights).items()},
            r'exactly these under `backbone\.` \(50 missing: layer3\.0\.conv1\.weight, layer3\.0\.bn1\.weight',
        ),
        (
            lambda weights: {key.removeprefix('layer'): value for key, value in weights.items()},
            r'95 missing: layer1\.0\.conv1\.weight, .*114 left over: 1\.0\.conv1\.weight',
        ),
        (half_of_the_stages, r'50 missing: layer3\.0\.conv1\.weight, layer3\.0\.bn1\.weight'),
        (
            one_other_shape,
            r'1 of another shape: conv1\.weight \(here \[64, 3, 7, 7\], in the file '
            r'\[64, 1, 7, 7\]\)',
        ),
        (with_branches, r'1 left over: branches\.0\.fc\.weight'),
    ],
)
def test_a_partial_fit_is_refused(build, file, tmp_path, change, sentence) -> None:
    torch.save(change(torch.load(file)), tmp_path / 'changed.pth')
    refused(build(tmp_path / 'changed.pth'), sentence)


@pytest.mark.parametrize(
    'build, kwargs, sentence',
    [
        (resnet, dict(depth=34), r'80 missing: layer1\.2\.conv1\.weight'),
        (resnet, dict(depth=50), r'of another shape: layer1\.0\.conv1\.weight'),
        (resnet, dict(base_channels=32), r'of another shape: conv1\.weight \(here \[32, 3, 7, 7\]'),
        (
            resnet,
            dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2)),
            r'30 left over: layer4\.0\.conv1\.weight',
        ),
        (timm_resnet, dict(model_name='resnet34'), r'80 missing: layer1\.2\.conv1\.weight'),
        (timm_resnet, dict(model_name='resnet50'), r'of another shape: layer1\.0\.conv1\.weight'),
        (timm_resnet, dict(channels=(32, 32, 64, 64)), r'of another shape: layer1\.0\.conv1'),
        (timm_resnet, dict(model_name='regnetx_002'), r'missing: stem\.conv\.weight.*left over: conv1'),
    ],
)
def test_another_network_is_refused(build, file, kwargs, sentence) -> None:
    refused(build(file, **kwargs), sentence)


def test_stages_that_a_timm_backbone_does_not_use_may_be_there_or_not(file, tmp_path, log) -> None:
    weights = torch.load(file)
    for change in (half_of_the_stages, dict):
        torch.save(change(weights), tmp_path / 'changed.pth')
        model = timm_resnet(tmp_path / 'changed.pth', out_indices=(0, 1))
        model.init_weights()
        holds(model, half_of_the_stages(weights))
    said = [line for line in log if line.startswith('StrictPretrained: 60 of 60 tensors')]
    assert len(said) == 2 and 'left over' not in said[0]
    assert '60 tensors behind the last stage in use (layer3.0.conv1.weight, ' in said[1]

    torch.save({**weights, 'layer3.2.conv1.weight': torch.zeros(2)}, tmp_path / 'deeper.pth')
    refused(timm_resnet(tmp_path / 'deeper.pth', out_indices=(0, 1)), r'1 left over: layer3\.2\.conv1\.weight')


def test_what_is_no_checkpoint_is_refused(tmp_path) -> None:
    (tmp_path / 'text.pth').write_text('no')
    for name in ('text.pth', 'absent.pth'):
        with pytest.raises(UserError, match='a checkpoint was expected at'):
            resnet(tmp_path / name).init_weights()


class FakeRunner:
    def __init__(self, model, iteration=0) -> None:
        self.model, self.iter = model, iteration


@pytest.mark.parametrize('build', [resnet, timm_resnet])
def test_the_hook_catches_what_came_over_the_weights(build, file) -> None:
    model = torch.nn.Module()
    model.backbone = build(file)
    model.backbone.init_weights()
    hook = BackboneCheckHook(file)
    hook.before_train(FakeRunner(model))
    with torch.no_grad():
        model.backbone.layer3[0].conv1.weight[0, 0, 0, 0] += 1
    hook.before_train(FakeRunner(model, iteration=5))  # resumed, so it may differ
    with pytest.raises(UserError, match=r'1 of the 120 tensors .*layer3\.0\.conv1\.weight'):
        hook.before_train(FakeRunner(model))


@pytest.mark.parametrize(
    'change, said',
    [
        (dict(), None),
        (dict(bgr_to_rgb=False), 'feeds it BGR with mean .10.0, 20.0, 30.0.'),
        (dict(mean=[30.0, 20.0, 10.0]), 'feeds it RGB with mean .30.0, 20.0, 10.0.'),
        (dict(std=[58.395, 57.12, 57.375]), r'std \[58.395, 57.12, 57.375\]: set .*std=\[40.0, 50.0'),
        (dict(mean=None, std=None), None),  # a transform may do it
    ],
)
def test_the_hook_compares_the_normalisation(file, change, said) -> None:
    model = torch.nn.Module()
    model.backbone = resnet(file)
    model.backbone.init_weights()
    own = dict(mean=[10.0, 20.0, 30.0], std=[40.0, 50.0, 60.0], bgr_to_rgb=True)
    model.data_preprocessor = MODELS.build({'type': 'DetDataPreprocessor', **own, **change})
    hook = BackboneCheckHook(file)
    if said is None:
        hook.before_train(FakeRunner(model))
    else:
        with pytest.raises(UserError, match=said):
            hook.before_train(FakeRunner(model))


def test_the_configs_as_they_are_say_what_to_do() -> None:
    for name in ('faster-rcnn_r18_fpn_1x_coco', 'faster-rcnn_r18_fpn_voc0712'):
        cfg = Config.fromfile(REPO / 'configs' / 'transfer' / f'{name}.py')
        with pytest.raises(UserError, match='hsakd-mm transfer'):
            MODELS.build(ConfigDict(cfg.model.backbone)).init_weights()


def test_read_backbone_counts_what_is_learnt(file) -> None:
    learnt = sum(value.numel() for value in resnet(file).parameters())
    assert read_backbone(file).parameters == learnt
