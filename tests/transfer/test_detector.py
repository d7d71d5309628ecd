"""What a start changes in the config; Faster R-CNN on the stand-in operators: loss, gradients, predictions."""

import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

import hsakd_mm  # noqa: F401
from hsakd_mm.checkpoints.export import export_backbone
from hsakd_mm.checkpoints.source import resolve_source
from hsakd_mm.transfer.detector import BACKBONE_CHECK, start_from
from hsakd_mm.transfer.operators import NAME, StandIn
from tests.conftest import REPO

pytest.importorskip('mmdet.models', reason='mmdet is not installed')
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

COCO = REPO / 'configs' / 'transfer' / 'faster-rcnn_r18_fpn_1x_coco.py'


def build(**roi_layer):
    cfg = Config.fromfile(REPO / 'configs' / 'demo' / 'faster_rcnn.py')
    cfg.model.backbone.base_channels = 8
    cfg.model.backbone.frozen_stages = -1  # every gradient is compared
    cfg.model.neck.in_channels = [8, 16, 32, 64]
    cfg.model.roi_head.bbox_roi_extractor.roi_layer.update(roi_layer)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
        model.init_weights()
    return model


def batch() -> dict:
    generator = torch.Generator().manual_seed(1)
    images = [torch.randint(0, 256, (3, 96, 96), dtype=torch.uint8, generator=generator) for _ in range(2)]
    samples = []
    for _ in images:
        boxes = torch.tensor([[10.0, 12.0, 40.0, 50.0], [50.0, 40.0, 90.0, 88.0]])
        sample = DetDataSample(
            gt_instances=InstanceData(bboxes=boxes, labels=torch.tensor([3, 7])),
            metainfo=dict(img_shape=(96, 96), ori_shape=(96, 96), scale_factor=(1.0, 1.0)),
        )
        samples.append(sample)
    return dict(inputs=images, data_samples=samples)


def loss_and_gradients(model) -> tuple:
    torch.manual_seed(2)  # the samplers of proposals draw
    data = model.data_preprocessor(batch(), True)
    losses, _ = model.parse_losses(model(**data, mode='loss'))
    losses.backward()
    return losses.detach(), {name: value.grad for name, value in model.named_parameters()}


def predictions(model) -> list:
    model.eval()
    with torch.no_grad():
        return model(**model.data_preprocessor(batch(), False), mode='predict')


def test_loss_gradients_and_predictions_do_not_depend_on_the_operators() -> None:
    if not isinstance(sys.modules.get(NAME), StandIn):
        pytest.skip('compiled mmcv is installed, and its operators are used')
    ours, theirs = build(), build(use_torchvision=True)
    (loss, gradients), (other_loss, other_gradients) = map(loss_and_gradients, (ours, theirs))
    assert loss > 0 and torch.equal(loss, other_loss)
    for name, gradient in gradients.items():
        assert gradient is not None and gradient.isfinite().all(), name
        assert torch.equal(gradient, other_gradients[name]), name
    for one, other in zip(predictions(ours), predictions(theirs)):
        one, other = one.pred_instances, other.pred_instances
        assert len(one) and torch.equal(one.bboxes, other.bboxes)
        assert torch.equal(one.scores, other.scores)


def test_the_input_normalisation_is_the_files(trained, tmp_path) -> None:
    export = export_backbone(str(trained[0]), str(tmp_path / 'student'))
    cfg = Config.fromfile(COCO)
    notes = start_from(cfg, resolve_source(export.safetensors))
    preprocessor = cfg.model.data_preprocessor
    assert preprocessor.mean == [10.0, 20.0, 30.0] and preprocessor.std == [40.0, 50.0, 60.0]
    assert preprocessor.bgr_to_rgb and not preprocessor.rgb_to_bgr
    assert cfg.model.backbone.init_cfg.checkpoint == export.safetensors
    assert '(from the file)' in notes[-1] and export.safetensors_sha256 in notes[0]

    torch.save(trained[1].state_dict(), tmp_path / 'other.pth')
    notes = start_from(cfg, resolve_source(str(tmp_path / 'other.pth')))
    assert cfg.model.data_preprocessor.mean == [123.675, 116.28, 103.53]
    assert "torchvision's for ImageNet" in notes[-1]
    assert len(cfg.custom_hooks) == 1


def test_random_weights_are_not_frozen() -> None:
    cfg = Config.fromfile(COCO)
    cfg.custom_hooks = [dict(type=BACKBONE_CHECK, checkpoint='my.pth'), dict(type='EMAHook')]  # one's own project
    notes = start_from(cfg, resolve_source('random'))
    assert [hook['type'] for hook in cfg.custom_hooks] == ['EMAHook']
    assert cfg.model.backbone.init_cfg is None
    assert cfg.model.backbone.frozen_stages == -1 and not cfg.model.backbone.norm_eval
    assert 'are not frozen' in notes[-1]
