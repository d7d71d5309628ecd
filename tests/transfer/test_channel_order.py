"""The order in which a first layer expects its channels, from the training's config to the detector."""

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from hsakd_mm.checkpoints.backbone_file import read_backbone
from hsakd_mm.checkpoints.export import export_backbone
from hsakd_mm.checkpoints.source import resolve_source
from hsakd_mm.errors import UserError
from hsakd_mm.transfer import BackboneCheckHook
from hsakd_mm.transfer.detector import check_fit, start_from
from tests.conftest import REPO

pytest.importorskip('mmdet.models', reason='mmdet is not installed')
from mmdet.registry import MODELS

from tests.transfer.foreign import DEMO, FakeRunner, run, started, under, weights


@pytest.fixture(autouse=True)
def mmdet_scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def mmlab(model: str, extra: str = '') -> dict:
    """A checkpoint as MMPretrain, MMDetection and MMClassification write it."""
    cfg = (
        f"model = dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18, base_channels=8){model})\n{extra}"
    )
    state = {**under('backbone.', weights()), 'head.fc.weight': torch.ones(1), 'neck.w': torch.ones(1)}
    return dict(meta=dict(cfg=cfg, epoch=100), state_dict=state)


CAFFE = 'mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0]'
IMAGENET = 'mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]'
ORDERS = {
    'MMPretrain': (
        mmlab('', f"default_scope = 'mmpretrain'\ndata_preprocessor = dict({IMAGENET}, to_rgb=True)"),
        'RGB',
    ),
    'MMPretrain of BGR': (mmlab('', f"default_scope = 'mmpretrain'\ndata_preprocessor = dict({CAFFE})"), 'BGR'),
    'MMPretrain, in the model': (
        mmlab(f", data_preprocessor=dict(type='SelfSupDataPreprocessor', {CAFFE}, to_rgb=False)"),
        'BGR',
    ),
    'MMDetection': (mmlab(f", data_preprocessor=dict(type='DetDataPreprocessor', {IMAGENET}, bgr_to_rgb=True)"), 'RGB'),
    'Caffe': (mmlab(f", data_preprocessor=dict(type='DetDataPreprocessor', {CAFFE}, bgr_to_rgb=False)"), 'BGR'),
    'by default': (mmlab(f", data_preprocessor=dict(type='mmdet.DetDataPreprocessor', {CAFFE})"), 'BGR'),
    # Both flags of mmengine's preprocessor swap, and OpenCV gives it BGR.
    'the other flag': (mmlab(f", data_preprocessor=dict(type='DetDataPreprocessor', {CAFFE}, rgb_to_bgr=True)"), 'RGB'),
    'MMClassification': (mmlab('', f'img_norm_cfg = dict({IMAGENET}, to_rgb=True)\ngpu_ids = range(0, 8)'), 'RGB'),
    'MMDetection 2': (
        mmlab(
            '', f"data = dict(train=dict(pipeline=[dict(type='Flip'), dict(type='Normalize', {CAFFE}, to_rgb=False)]))"
        ),
        'BGR',
    ),
    'ours': (mmlab(f", data_preprocessor=dict(type='ImagePreprocessor', {IMAGENET})"), 'RGB'),
    'ours, in full': (
        mmlab(f", data_preprocessor=dict(type='hsakd_mm.ImagePreprocessor', {IMAGENET})", "default_scope = 'hsakd_mm'"),
        'RGB',
    ),
}


@pytest.mark.parametrize('name', ORDERS)
def test_the_export_says_the_channel_order_and_the_detector_feeds_it(tmp_path, name) -> None:
    content, order = ORDERS[name]
    torch.save(content, tmp_path / 'epoch_100.pth')
    export = export_backbone(str(tmp_path / 'epoch_100.pth'))
    file, norm = export.pth, read_backbone(export.pth).normalisation
    assert norm == read_backbone(export.safetensors).normalisation
    mean = [float(number) for number in re.search(r'mean=\[(.+?)\]', content['meta']['cfg'])[1].split(',')]
    assert (norm['channel_order'], norm['mean']) == (order, mean)  # in the order of the channels

    cfg = Config.fromfile(DEMO)
    start_from(cfg, resolve_source(file))
    preprocessor = cfg.model.data_preprocessor
    assert (preprocessor.bgr_to_rgb, preprocessor.rgb_to_bgr, preprocessor.mean) == (order == 'RGB', False, mean)
    backbone = started(file)[0].model.backbone
    own = dict(mean=preprocessor.mean, std=preprocessor.std)
    BackboneCheckHook(file).before_train(FakeRunner(backbone, dict(own, bgr_to_rgb=order == 'RGB')))
    with pytest.raises(UserError, match=f'was trained on {order} with mean .*bgr_to_rgb={order == "RGB"}'):
        BackboneCheckHook(file).before_train(FakeRunner(backbone, dict(own, bgr_to_rgb=order != 'RGB')))


def test_a_checkpoint_of_mmpretrain_is_transferred(tmp_path) -> None:
    """As bash tools/transfer_det.sh FILE CONFIG does, with the checkpoint itself and not an export."""
    torch.save(ORDERS['MMPretrain'][0], tmp_path / 'resnet18_8xb32_in1k.pth')
    made = run(tmp_path / 'resnet18_8xb32_in1k.pth', tmp_path)
    assert any('RGB 0..255, mean [123.675, 116.28, 103.53]' in note and 'from the file' in note for note in made.notes)
    assert made.name == 'ImageClassifier'
    bare = {**under('backbone.', weights()), 'head.fc.bias': torch.ones(1)}  # as MMClassification published many
    torch.save(dict(state_dict=bare, meta=dict(mmcls_version='0.2')), tmp_path / 'bare.pth')
    made = run(tmp_path / 'bare.pth', tmp_path)
    assert any("torchvision's for ImageNet" in note for note in made.notes)


@pytest.mark.parametrize(
    'type_, keys, place',
    [
        ('hsakd_mm.TimmDetBackbone', dict(model_name='resnet18'), 'the model'),
        ('ResNet', dict(depth=18), 'beside it'),
        ('ResNet', dict(depth=18), 'nowhere'),
    ],
)
def test_bgr_weights_in_any_detector(tmp_path, type_, keys, place) -> None:
    torch.manual_seed(0)
    cfg = Config.fromfile(REPO / 'configs' / 'transfer' / 'faster-rcnn_r18_fpn_1x_coco.py')
    cfg.model.backbone = dict(type=type_, out_indices=(0, 1, 2, 3), **keys)
    content = dict(ORDERS['Caffe'][0])
    content['state_dict'] = under('backbone.', MODELS.build(cfg.model.backbone).state_dict())
    torch.save(content, tmp_path / 'caffe.pth')
    preprocessor = cfg.model.pop('data_preprocessor')
    if place != 'nowhere':
        (cfg.model if place == 'the model' else cfg).data_preprocessor = preprocessor
    source = resolve_source(str(tmp_path / 'caffe.pth'))
    assert 'BGR 0..255, mean [103.53, 116.28, 123.675]' in start_from(cfg, source)[-1]
    owner = cfg if place == 'beside it' else cfg.model
    assert owner.data_preprocessor.bgr_to_rgb is False and owner.data_preprocessor.std == [1.0, 1.0, 1.0]
    check_fit(cfg, source, images=2)
