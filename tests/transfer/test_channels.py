"""neck.in_channels: numbers that do not fit are named before training, 'auto' fills them in."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from hsakd_mm.checkpoints.source import BackboneSource
from hsakd_mm.errors import UserError
from hsakd_mm.transfer.detector import check_fit, fill_channels
from tests.conftest import REPO
from tests.tools.commands import assert_sentence, python

pytest.importorskip('mmdet.models', reason='mmdet is not installed')
from mmdet.registry import MODELS as MMDET

BACKBONES = {
    'ResNet': (dict(type='ResNet', depth=18, base_channels=4), [4, 8, 16, 32]),
    'bottlenecks': (dict(type='ResNet', depth=50, base_channels=4, out_indices=(1, 2, 3)), [32, 64, 128]),
    'timm': (dict(type='hsakd_mm.TimmDetBackbone', model_name='mobilenetv3_small_050'), [8, 16, 24, 288]),
    'foreign': (dict(type='MobileNetV2', widen_factor=0.25, out_indices=(1, 2, 4, 6)), [8, 8, 24, 80]),
}
RANDOM = BackboneSource('random', 'random')


@pytest.fixture(params=BACKBONES)
def backbone(request) -> tuple:
    return BACKBONES[request.param]


@pytest.fixture(scope='module')
def shipped() -> Config:
    return Config.fromfile(REPO / 'configs' / 'transfer' / 'faster-rcnn_r18_fpn_vehicles.py')


def config(shipped: Config, backbone: dict, **neck) -> Config:
    """A shipped config with another backbone, and of a size for a test."""
    cfg = Config(shipped.to_dict())
    cfg.model.backbone = dict(backbone)
    cfg.model.neck.update(out_channels=8, **neck)
    cfg.model.rpn_head.update(in_channels=8, feat_channels=8)
    cfg.model.roi_head.bbox_roi_extractor.out_channels = 8
    cfg.model.roi_head.bbox_head.update(in_channels=8, fc_out_channels=16)
    return cfg


def test_auto_becomes_numbers_for_every_backbone(shipped, backbone) -> None:
    cfg = config(shipped, backbone[0])
    assert cfg.model.neck.in_channels == 'auto'
    fill_channels(cfg)
    assert cfg.model.neck.in_channels == backbone[1]
    check_fit(cfg, RANDOM, images=8)


def test_numbers_that_do_not_fit_are_named(shipped, backbone) -> None:
    cfg = config(shipped, backbone[0], in_channels=[64, 128, 256, 512][: len(backbone[1])])
    right = str(backbone[1]).replace('[', r'\[').replace(']', r'\]')
    with pytest.raises(UserError, match=rf"set model\.neck\.in_channels={right}, or 'auto'"):
        check_fit(cfg, RANDOM, images=8)


@pytest.mark.parametrize('registry', [MODELS, MMDET], ids=['Runner', "MMDetection's tools"])
def test_whoever_builds_a_detector_may_say_auto(shipped, registry) -> None:
    """The shipped configs, inherited by someone who has none of our tools; the weights are the same."""
    backbone, channels = BACKBONES['ResNet']
    built = []
    for neck in ({}, dict(in_channels=channels)):
        torch.manual_seed(0)
        cfg = config(shipped, backbone, **neck)
        with DefaultScope.overwrite_default_scope('mmdet'):
            built.append(registry.build(cfg.model))
    auto, numbers = built
    assert auto.neck.in_channels == channels
    assert all(map(torch.equal, auto.state_dict().values(), numbers.state_dict().values()))


def test_a_handed_over_backbone_is_checked_by_whoever_builds_it(shipped) -> None:
    strict = dict(type='hsakd_mm.StrictPretrained', checkpoint='student.pth')
    cfg = config(shipped, dict(BACKBONES['ResNet'][0], init_cfg=strict), in_channels=[64, 128, 256, 512])
    with (
        DefaultScope.overwrite_default_scope('mmdet'),
        pytest.raises(UserError, match=r'set model\.neck\.in_channels=\[4, 8, 16, 32\]'),
    ):
        MODELS.build(cfg.model)


def test_of_several_necks_the_first_takes_the_maps(shipped) -> None:
    cfg = config(shipped, BACKBONES['ResNet'][0])
    cfg.model.neck = [cfg.model.neck, dict(type='BFP', in_channels=8, num_levels=5)]
    fill_channels(cfg)
    assert [neck.in_channels for neck in cfg.model.neck] == [[4, 8, 16, 32], 8]
    cfg.model.neck[0].in_channels = [4, 8, 16]
    with pytest.raises(UserError, match=r'set model\.neck\.0\.in_channels=\[4, 8, 16, 32\]'):
        check_fit(cfg, RANDOM, images=8)


@pytest.mark.parametrize(
    'neck, said',
    [
        (dict(_delete_=True, type='CTResNetNeck', in_channels='auto'), 'CTResNetNeck does not take these'),
        (dict(in_channels=None), None),
        (None, None),
    ],
)
def test_necks_of_another_kind(shipped, neck, said) -> None:
    cfg = config(shipped, BACKBONES['ResNet'][0])
    cfg.merge_from_dict({'model.neck': neck})
    if said:
        with pytest.raises(UserError, match=f'{said}.*: set the numbers that it expects'):
            fill_channels(cfg)
    else:
        fill_channels(cfg)
        check_fit(cfg, RANDOM, images=8)


def test_every_number_that_a_neck_can_take_is_left_alone(shipped) -> None:
    """YOLOv3's neck counts from the last map: other numbers than the backbone's, and right."""
    cfg = config(shipped, BACKBONES['bottlenecks'][0])
    cfg.model.neck = dict(type='YOLOV3Neck', num_scales=3, in_channels=[128, 64, 32], out_channels=[16, 8, 4])
    check_fit(cfg, RANDOM, images=8)


def test_frozen_submodules_are_named_at_any_depth(shipped) -> None:
    cfg = config(shipped, dict(BACKBONES['timm'][0], frozen_stages=2))
    parameters, said = check_fit(cfg, RANDOM, images=8)
    assert '(conv_stem, bn1, blocks.0, blocks.1)' in said
    backbone = MODELS.build(cfg.model.backbone)
    named = sum(
        value.numel()
        for key, value in backbone.named_parameters()
        if key.startswith(('conv_stem.', 'bn1.', 'blocks.0.', 'blocks.1.'))
    )
    assert f'Frozen: {named:,} of {parameters:,} parameters' in said

    norms = dict(BACKBONES['ResNet'][0], norm_cfg=dict(type='BN', requires_grad=False), frozen_stages=0)
    _, said = check_fit(config(shipped, norms), RANDOM, images=8)
    assert '(conv1, bn1, layer1.0.bn1, layer1.0.bn2, ' in said and ' and 13 more)' in said


def test_training_an_inherited_config_says_so_before_it_starts(tmp_path, refusal) -> None:
    base = REPO / 'configs' / 'transfer' / 'faster-rcnn_r18_fpn_vehicles.py'
    (tmp_path / 'mine.py').write_text(
        f'_base_ = {str(base)!r}\nmodel = dict(backbone=dict(depth=50), neck=dict(in_channels=[64, 128, 256, 512]))\n'
    )
    assert "set model.neck.in_channels=[256, 512, 1024, 2048], or 'auto'" in refusal('train.py', 'mine.py')


def test_the_training_tool_checks_any_detector(tmp_path) -> None:
    demo, options = REPO / 'configs' / 'demo' / 'faster_rcnn.py', ['model.backbone.init_cfg=None']
    options += ['model.neck.in_channels=[64,128,256,512]', 'model.backbone.frozen_stages=-1']
    done = python(REPO / 'tools' / 'train.py', demo, '--cfg-options', *options, cwd=tmp_path)
    assert_sentence(done, 'have [16, 32, 64, 128]: set model.neck.in_channels=[16, 32, 64, 128]')


def test_a_misspelt_argument_of_the_neck(shipped, backbone) -> None:
    cfg = config(shipped, backbone[0], in_chanels=[1])
    with pytest.raises(UserError, match='FPN does not take what model.neck gives it .*in_chanels.*correct that name'):
        check_fit(cfg, RANDOM, images=8)
