"""Weights that fit a detector's backbone by names and shapes, and were trained in another network, are refused."""

from collections import OrderedDict

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from hsakd_mm.checkpoints.backbone_file import read_backbone, write_backbone
from hsakd_mm.checkpoints.readings import Selection
from hsakd_mm.checkpoints.source import resolve_source
from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones import TimmBackbone
from hsakd_mm.transfer import BackboneCheckHook, TimmDetBackbone
from hsakd_mm.transfer.detector import check_fit, start_from
from hsakd_mm.transfer.initializer import StrictPretrained, read_weights

pytest.importorskip('mmdet.models', reason='mmdet is not installed')
from mmdet.registry import MODELS

from tests.transfer.foreign import DEMO, FakeRunner, under

CAFFE = 'mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0]'
OTHER_STYLE = r"trained with style='(caffe|pytorch)'.*set model\.backbone\.style=(caffe|pytorch)"


@pytest.fixture(autouse=True)
def mmdet_scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def resnet(depth: int, style: str):
    return MODELS.build(dict(type='ResNet', depth=depth, style=style, base_channels=2))


@pytest.mark.parametrize(
    'depth, theirs, ours, fits',
    [
        (50, ", style='caffe'", 'pytorch', False),
        (101, '', 'caffe', False),
        (50, ", style='caffe'", 'caffe', True),
        (50, '', 'pytorch', True),
        (18, ", style='caffe'", 'pytorch', True),  # basic blocks do not differ
    ],
)
def test_where_caffes_bottlenecks_have_their_stride(tmp_path, depth, theirs, ours, fits) -> None:
    net = dict(type='ResNet', depth=depth, base_channels=2)
    cfg = (
        f"model = dict(type='FasterRCNN', backbone=dict(type='ResNet', depth={depth}, base_channels=2{theirs}), "
        f"data_preprocessor=dict(type='DetDataPreprocessor', {CAFFE}))"
    )
    state = under('backbone.', MODELS.build(net).state_dict())
    torch.save(dict(meta=dict(cfg=cfg, epoch=12), state_dict=state), tmp_path / 'detector.pth')
    cfg = Config.fromfile(DEMO)
    cfg.model.backbone = dict(net, style=ours)
    cfg.model.neck.in_channels = 'auto'
    source = resolve_source(str(tmp_path / 'detector.pth'))
    start_from(cfg, source)
    if fits:
        check_fit(cfg, source, images=2)
    else:
        with pytest.raises(UserError, match=OTHER_STYLE):
            check_fit(cfg, source, images=2)


@pytest.mark.parametrize('depth, style, fits', [(50, 'caffe', False), (50, 'pytorch', True), (18, 'caffe', True)])
@pytest.mark.parametrize('kind', ['TimmBackbone', 'torchvision', 'timm'])
def test_no_other_library_has_caffes_style(tmp_path, kind, depth, style, fits) -> None:
    """As the initializer and the hook read the weights, without start_from."""
    path = str(tmp_path / 'student.pth')
    net = resnet(depth, style)
    write_backbone(OrderedDict(net.state_dict()), dict(backbone_type=kind, model_name=f'resnet{depth}'), path)
    if fits:
        StrictPretrained(path)(net)
        BackboneCheckHook(path).before_train(FakeRunner(net, {}))
        return
    with pytest.raises(UserError, match=OTHER_STYLE):
        StrictPretrained(path)(net)
    with pytest.raises(UserError, match=OTHER_STYLE):
        BackboneCheckHook(path).before_train(FakeRunner(net, {}))


def test_weights_by_name_tell_their_style(tmp_path) -> None:
    path = str(tmp_path / 'theirs.pth')
    net = resnet(50, 'caffe')
    torch.save(net.state_dict(), path)
    file = read_backbone(path)
    read_weights(net, file, Selection())  # of a plain file nothing is known
    file.path = 'torchvision://resnet50'
    with pytest.raises(UserError, match=OTHER_STYLE):
        read_weights(net, file, Selection())


@pytest.mark.parametrize(
    'trained_in, fits', [('efficientnet_b0.ra_in1k', True), ('tf_efficientnet_b0', False), ('of_another_timm', True)]
)
def test_timms_networks_with_the_same_weights_and_other_layers(tmp_path, trained_in, fits) -> None:
    path = str(tmp_path / 'student.safetensors')
    net = TimmDetBackbone('efficientnet_b0')
    write_backbone(OrderedDict(net.state_dict()), dict(backbone_type='TimmBackbone', model_name=trained_in), path)
    if fits:
        StrictPretrained(path)(net)
    else:
        with pytest.raises(UserError, match='layers differ .*Conv2dSame.* there.*: set model_name=.tf_efficientnet_b0'):
            StrictPretrained(path)(net)


def test_a_student_of_timm_is_loaded_into_mmdetections_resnet(tmp_path) -> None:
    path = str(tmp_path / 'student.pth')
    weights = TimmBackbone('resnet18', num_classes=3).state_dict()
    write_backbone(OrderedDict(weights), dict(backbone_type='TimmBackbone', model_name='resnet18'), path)
    net = MODELS.build(dict(type='ResNet', depth=18))
    StrictPretrained(path)(net)
    assert torch.equal(net.conv1.weight, weights['conv1.weight'])
