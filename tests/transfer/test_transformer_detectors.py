"""Detectors of MMDetection on transformers of timm: the neck of one stride, and a training step of four of them."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS as REGISTRY
from mmengine.registry import DefaultScope

from hsakd_mm.checkpoints.source import resolve_source
from hsakd_mm.errors import UserError
from hsakd_mm.transfer import SimpleFeaturePyramid
from hsakd_mm.transfer.detector import check_channels, check_fit, start_from
from tests.transfer.test_timm_any_network import VIT, exported

pytest.importorskip('mmdet.models', reason='mmdet is not installed')
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

SIZE = (96, 128)
BACKBONES = {
    'vit': dict(model_name='vit_tiny_patch16_224', **VIT),
    'swin': dict(
        model_name='swin_tiny_patch4_window7_224', window_size=4, depths=(1, 1, 1, 1), embed_dim=8, num_heads=(1,) * 4
    ),
}
LAST = dict(out_indices=(3,))
PYRAMID = dict(type='hsakd_mm.SimpleFeaturePyramid', in_channels='auto', out_channels=16)
DETECTORS = {  # file of MMDetection: what is replaced in its model
    'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py': {
        'rpn_head': dict(in_channels=16, feat_channels=16),
        'roi_head': dict(
            bbox_roi_extractor=dict(out_channels=16), bbox_head=dict(in_channels=16, fc_out_channels=16, num_classes=3)
        ),
    },
    'retinanet/retinanet_r50_fpn_1x_coco.py': {
        'bbox_head': dict(in_channels=16, feat_channels=16, stacked_convs=1, num_classes=3)
    },
    'rtmdet/rtmdet_tiny_8xb32-300e_coco.py': {
        'bbox_head': dict(in_channels=16, feat_channels=16, num_classes=3, norm_cfg=dict(type='BN'))
    },
    'dino/dino-4scale_r50_8xb2-12e_coco.py': {  # its width is fixed in the decoder's code
        'num_queries': 20,
        'encoder': dict(num_layers=1, layer_cfg=dict(ffn_cfg=dict(feedforward_channels=16))),
        'decoder': dict(num_layers=1, layer_cfg=dict(ffn_cfg=dict(feedforward_channels=16))),
        'bbox_head': dict(num_classes=3),
        'dn_cfg': dict(group_cfg=dict(num_dn_queries=4)),
        'test_cfg': dict(max_per_img=8),
    },
}


def config(file: str, backbone: str) -> Config:
    cfg = Config.fromfile(f'{mmdet_configs()}/{file}')
    model = cfg.model
    model.backbone = dict(BACKBONES[backbone], type='hsakd_mm.TimmDetBackbone')
    kind = file.split('/')[0]
    plain = backbone == 'vit'
    if kind == 'rtmdet':
        if plain:
            model.backbone.update(LAST)
            first = dict(PYRAMID, strides=(8, 16, 32), num_outs=3)
            pafpn = dict(model.neck, in_channels=[16] * 3, out_channels=16, num_csp_blocks=1, norm_cfg=dict(type='BN'))
            model.neck = [first, pafpn]
        else:
            model.backbone.out_indices = (1, 2, 3)
            model.neck.update(in_channels='auto', out_channels=16, num_csp_blocks=1, norm_cfg=dict(type='BN'))
        model.data_preprocessor.batch_augments = None
    elif plain:
        model.backbone.update(LAST)
        model.neck = dict(PYRAMID, **(dict(num_outs=4, out_channels=256) if kind == 'dino' else {}))
        if kind == 'retinanet':
            model.neck.update(strides=(8, 16, 32))
    elif kind == 'dino':
        model.backbone.out_indices = (1, 2, 3)
        model.neck.update(in_channels='auto')
    else:
        model.neck.update(in_channels='auto', out_channels=16)
    cfg.merge_from_dict({'model': DETECTORS[file]})
    return cfg


def mmdet_configs() -> str:
    import mmdet

    return f'{mmdet.__path__[0]}/.mim/configs'


def batch() -> dict:
    generator = torch.Generator().manual_seed(1)
    images = [torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8, generator=generator) for _ in range(2)]
    boxes = torch.tensor([[10.0, 12.0, 40.0, 50.0], [50.0, 40.0, 90.0, 88.0]])
    samples = [
        DetDataSample(
            gt_instances=InstanceData(bboxes=boxes, labels=torch.tensor([0, 2])),
            metainfo=dict(img_shape=SIZE, ori_shape=SIZE, batch_input_shape=SIZE, scale_factor=(1.0, 1.0)),
        )
        for _ in images
    ]
    return dict(inputs=images, data_samples=samples)


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('file', DETECTORS)
def test_a_training_step(file, backbone) -> None:
    cfg = config(file, backbone)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = REGISTRY.build(cfg.model).train()
        optim_wrapper = build_optim_wrapper(
            model,
            dict(
                optimizer=dict(type='AdamW', lr=0.01),
                constructor='hsakd_mm.LayerDecayConstructor',
                paramwise_cfg=dict(layer_decay=0.7, bypass_duplicate=True),  # RTMDet shares layers
            ),
        )
        before = {name: value.clone() for name, value in model.backbone.named_parameters()}
        losses = model.train_step(batch(), optim_wrapper)
        assert losses['loss'].isfinite() and losses['loss'] > 0
        moved = [name for name, value in model.backbone.named_parameters() if not torch.equal(value, before[name])]
        assert len(moved) > 0.9 * len(before)
        with torch.no_grad():
            assert len(model.eval().test_step(batch())) == 2


@pytest.mark.parametrize('strides, fits', [((8, 16, 32), True), ((4, 8, 16), False)])
@pytest.mark.parametrize(
    'head',
    [
        dict(type='FCOSHead', strides=[8, 16, 32]),
        dict(type='YOLOXHead', feat_channels=16),  # by default
        dict(type='RepPointsHead', feat_channels=16, point_feat_channels=16, point_strides=[8, 16, 32]),
        dict(type='ATSSHead', anchor_generator=dict(type='AnchorGenerator', ratios=[1.0], strides=[8, 16, 32])),
    ],
)
def test_strides_of_points_and_of_anchors(head, strides, fits) -> None:
    """A neck of other strides than the head's is refused, whatever the head calls them."""
    model = dict(
        backbone=dict(BACKBONES['vit'], type='hsakd_mm.TimmDetBackbone', **LAST),
        neck=dict(PYRAMID, strides=strides, num_outs=3),
        bbox_head=dict(head, num_classes=3, in_channels=16),
    )
    if fits:
        check_channels(Config(dict(model=model)))
        return
    with pytest.raises(UserError, match=r'bbox_head expects levels at the strides \[8, 16, 32\]'):
        check_channels(Config(dict(model=model)))


def test_the_tools_way_takes_an_exported_vit(tmp_path) -> None:
    file = exported('vit_tiny_patch16_224', tmp_path, **VIT, img_size=64)
    cfg = config('faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', 'vit')
    source = resolve_source(file)
    notes = start_from(cfg, source)
    assert any('mean [1.0, 1.0, 1.0]' in note for note in notes)
    parameters, said = check_fit(cfg, source, images=16)
    assert cfg.model.neck.in_channels == [24] and parameters > 0 and 'it has no BatchNorm' in said


@pytest.mark.parametrize(
    'arguments, size, expected',
    [
        ({}, (8, 12), [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]),
        (dict(strides=(8, 16, 32), num_outs=3), (8, 12), [(16, 24), (8, 12), (4, 6)]),
        # 224 x 352 pixels at stride 14, the wider side padded: the maps of these strides are as large as the image's.
        (dict(in_stride=14), (16, 26), [(56, 88), (28, 44), (14, 22), (7, 11), (4, 6)]),
        (dict(in_stride=32, num_outs=4), (4, 6), [(32, 48), (16, 24), (8, 12), (4, 6)]),
    ],
)
def test_levels_of_the_pyramid(arguments, size, expected) -> None:
    neck = SimpleFeaturePyramid([8, 16], out_channels=4, **arguments)
    levels = neck((torch.randn(2, 8, *size), torch.randn(2, 16, *size)))
    assert [tuple(level.shape) for level in levels] == [(2, 4, *each) for each in expected]
    sum(level.square().mean() for level in levels).backward()
    assert all(value.grad is not None for value in neck.parameters())


@pytest.mark.parametrize('arguments', [dict(num_outs=3), dict(strides=(4, 12), num_outs=2)])
def test_what_is_no_pyramid(arguments) -> None:
    with pytest.raises(UserError, match=r'all powers of two, .* got strides=.* correct them'):
        SimpleFeaturePyramid(8, **arguments)
