"""Backbones as other projects save them, and detectors that start from them."""

import torch
from mmdet.registry import MODELS

from hsakd_mm.experiments.detector_run import DetectorRun
from hsakd_mm.transfer import BackboneCheckHook
from tests.conftest import REPO

DEMO = str(REPO / 'configs' / 'demo' / 'faster_rcnn.py')
NARROW = {
    'model.backbone.base_channels': 8,
    'model.backbone.stem_channels': 8,
    'model.neck.in_channels': [8, 16, 32, 64],
}
STRICT = 'hsakd_mm.StrictPretrained'


def weights(seed: int = 0, **more) -> dict:
    """Of MMDetection's narrow ResNet-18, as of MMPretrain's, Caffe's or MoCo's."""
    torch.manual_seed(seed)
    return MODELS.build(dict(type='ResNet', depth=18, base_channels=8, **more)).state_dict()


def under(prefix: str, tensors: dict) -> dict:
    return {prefix + name: value for name, value in tensors.items()}


class FakeRunner:
    iter = 0

    def __init__(self, backbone, preprocessor: dict | None = None) -> None:
        self.model = torch.nn.Module()
        self.model.backbone = backbone
        if preprocessor:
            self.model.data_preprocessor = MODELS.build(dict(type='DetDataPreprocessor', **preprocessor))


def started(path, hook_options: dict | None = None, backbone: dict | None = None, **options):
    """A backbone that StrictPretrained loaded, and the hook that compares it."""
    init_cfg = dict(type=STRICT, checkpoint=str(path), **options)
    cfg = dict(dict(type='ResNet', depth=18, base_channels=8), **(backbone or {}))
    model = MODELS.build(dict(cfg, init_cfg=init_cfg))
    model.init_weights()
    return FakeRunner(model), BackboneCheckHook(str(path), **(hook_options or {}))


def run(checkpoint, tmp_path, **options) -> DetectorRun:
    made = DetectorRun(str(checkpoint), DEMO, work_dir=str(tmp_path / 'run'), options={**NARROW, **options})
    made.check_fit()
    return made
