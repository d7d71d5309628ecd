"""Weights that fit by names and shapes, and were trained in another network, are refused in pretraining too."""

import pytest
import torch

from hsakd_mm.checkpoints.export import export_backbone
from hsakd_mm.checkpoints.loading import load_checkpoint, load_fitting
from hsakd_mm.checkpoints.pretrained import load_backbone, load_without_head
from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones import TimmBackbone
from hsakd_mm.models.distillers.plain import Classifier

OURS = dict(mean=[10.0, 20.0, 30.0], std=[40.0, 50.0, 60.0])


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> str:
    """A training checkpoint; the config in it names the network."""
    network = dict(type='TimmBackbone', model_name='tf_efficientnet_b0', num_classes=3)
    cfg = f'model = dict(type="Classifier", backbone={network}, data_preprocessor={OURS})'
    path = str(tmp_path_factory.mktemp('run') / 'epoch_1.pth')
    torch.save(dict(state_dict=Classifier(network).state_dict(), meta=dict(cfg=cfg)), path)
    return path


@pytest.mark.parametrize('load', [load_backbone, load_without_head])
@pytest.mark.parametrize('form', ['checkpoint', '.pth', '.safetensors'])
def test_networks_of_timm_with_other_layers(trained, tmp_path, form, load) -> None:
    path = trained
    if form != 'checkpoint':
        export_backbone(trained, str(tmp_path / 'exported'), with_head=True)
        path = str(tmp_path / f'exported{form}')
    net = TimmBackbone('efficientnet_b0', num_classes=3)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(UserError, match='layers differ .*Conv2dSame.* there.*: set model_name=.tf_efficientnet_b0'):
        load(net, path)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    load(TimmBackbone('tf_efficientnet_b0.ns_jft_in1k', num_classes=3), path)


def test_a_whole_model(trained) -> None:
    model = Classifier(dict(type='TimmBackbone', model_name='efficientnet_b0', num_classes=3))
    with pytest.raises(UserError, match='layers differ'):
        load_fitting(model, load_checkpoint(trained), trained, 'teacher')


def test_one_network_of_several_names_and_image_sizes(tmp_path) -> None:
    small = dict(num_classes=3, embed_dim=24, depth=2, num_heads=2)
    net = dict(small, type='TimmBackbone', model_name='deit_tiny_patch16_224')
    path = str(tmp_path / 'epoch_1.pth')
    cfg = f'model = dict(type="Classifier", backbone={net}, data_preprocessor={OURS})'
    torch.save(dict(state_dict=Classifier(net).state_dict(), meta=dict(cfg=cfg)), path)
    load_backbone(TimmBackbone('vit_tiny_patch16_384', **small), path)


def test_caffes_resnet_is_not_timms(tmp_path) -> None:
    net = TimmBackbone('resnet50', num_classes=3, channels=(8, 8, 8, 8))
    cfg = "model = dict(backbone=dict(type='ResNet', depth=50, style='caffe'))"
    state = {f'backbone.{name}': value for name, value in net.state_dict().items()}
    torch.save(dict(state_dict=state, meta=dict(cfg=cfg)), tmp_path / 'theirs.pth')
    with pytest.raises(UserError, match="trained with style='caffe', .* load them into MMDetection's ResNet"):
        load_backbone(net, str(tmp_path / 'theirs.pth'))


def test_a_timm_that_builds_nothing_without_memory(trained, monkeypatch, caplog) -> None:
    """As of 1.0.9: the weights are loaded, and the log says that layers were not compared."""

    def refuse(*args, **kwargs):
        raise RuntimeError('Tensor.item() cannot be called on meta tensors')

    net = TimmBackbone('efficientnet_b0', num_classes=3)
    monkeypatch.setattr('hsakd_mm.checkpoints.same_network.timm.create_model', refuse)
    load_backbone(net, trained)
