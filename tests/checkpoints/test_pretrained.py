"""Backbones from anywhere: whole or not at all, and given the images they were trained on."""

import pytest
import timm
import torch

from hsakd_mm.checkpoints.export import export_backbone
from hsakd_mm.checkpoints.pretrained import load_backbone
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation import LinearProbe
from hsakd_mm.models import ImagePreprocessor
from hsakd_mm.models.backbones import TimmBackbone
from hsakd_mm.models.distillers.hsakd import HSAKDTeacher
from hsakd_mm.models.distillers.plain import Classifier

NETS = {
    'resnet18': dict(channels=(8, 8, 16, 16)),
    'convnext_atto': dict(dims=(8, 16, 24, 32), depths=(1, 1, 1, 2)),  # keeps a norm in its head
}
OURS = dict(mean=[10.0, 20.0, 30.0], std=[40.0, 50.0, 60.0])


def network(name: str) -> dict:
    return dict(type='TimmBackbone', model_name=name, num_classes=5, **NETS[name])


def trained(name: str, folder) -> str:
    """A training checkpoint whose config tells how its images were normalised."""
    torch.manual_seed(0)
    cfg = f'model = dict(type="Classifier", backbone={network(name)}, data_preprocessor={OURS})'
    path = str(folder / 'epoch_1.pth')
    torch.save(dict(state_dict=Classifier(network(name)).state_dict(), meta=dict(cfg=cfg)), path)
    return path


@pytest.fixture
def fetched(monkeypatch):
    """timm's download, without a network: the weights are random, what timm says of them is not."""
    create = timm.create_model
    monkeypatch.setattr(timm, 'create_model', lambda name, pretrained=False, **kwargs: create(name, **kwargs))
    return 'timm://tf_efficientnet_b0.ap_in1k'  # trained on images with mean and std .5


@pytest.mark.parametrize('form', ['epoch_1.pth', 'exported.pth', 'exported.safetensors'])
def test_every_form_tells_its_normalisation(tmp_path, form) -> None:
    export_backbone(trained('resnet18', tmp_path), str(tmp_path / 'exported'), with_head=True)
    backbone = TimmBackbone('resnet18', num_classes=5, **NETS['resnet18'])
    load_backbone(backbone, str(tmp_path / form), preprocessor=ImagePreprocessor(**OURS))
    with pytest.raises(UserError, match=r'was trained on images with mean \[10.0, 20.0, 30.0\]'):
        load_backbone(backbone, str(tmp_path / form), preprocessor=ImagePreprocessor([0.0] * 3, OURS['std']))


def test_timm_tells_it_too(fetched) -> None:
    backbone = TimmBackbone('tf_efficientnet_b0', num_classes=1000)
    half = [127.5] * 3
    load_backbone(backbone, fetched, preprocessor=ImagePreprocessor(half, half))
    with pytest.raises(UserError, match=r'with mean \[127.5, 127.5, 127.5\], and would be given'):
        load_backbone(backbone, fetched, preprocessor=ImagePreprocessor([123.675] * 3, [58.0] * 3))


def test_a_frozen_teachers_backbone_is_compared(tmp_path) -> None:
    other = dict(type='ImagePreprocessor', mean=[0.0] * 3, std=[1.0] * 3)
    teacher = HSAKDTeacher(
        network('resnet18'), frozen_backbone=True, data_preprocessor=other, checkpoint=trained('resnet18', tmp_path)
    )
    with pytest.raises(UserError, match='would be given mean'):
        teacher.init_weights()


def test_two_networks_are_not_one_backbone(tmp_path) -> None:
    path = tmp_path / 'online.pth'
    torch.save({'net1.backbone.fc.bias': torch.ones(1), 'net2.backbone.fc.bias': torch.ones(1)}, path)
    with pytest.raises(UserError, match='it holds several that taught each other: export them'):
        load_backbone(TimmBackbone('resnet18', num_classes=5), str(path))


@pytest.mark.parametrize('name', NETS)
def test_an_export_without_classifier_can_be_probed(tmp_path, name) -> None:
    path = trained(name, tmp_path)
    export = export_backbone(path, str(tmp_path / 'bare'))
    probes = [LinearProbe(network(name), num_classes=3, checkpoint=checkpoint) for checkpoint in (path, export.pth)]
    features = []
    for probe in probes:
        probe.init_weights()
        images = torch.linspace(-1, 1, 2 * 3 * 64 * 64).view(2, 3, 64, 64)
        features.append(probe.backbone.pooled(probe.backbone.forward_taps(images)[-1]))
    assert torch.equal(*features)
