"""The probe learns one layer and leaves the backbone alone; every form of a checkpoint fits."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import nn

from hsakd_mm.checkpoints.export import export_backbone
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.linear_probe import LinearProbe, classifier_keys
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.registry import MODELS
from tests.conftest import REPO

BACKBONE = dict(type='CifarResNet', depth=8, num_classes=5, width=(4, 4, 8, 8))
NORM = dict(type='ImagePreprocessor', mean=[127.5] * 3, std=[127.5] * 3)


@pytest.fixture
def trained(tmp_path) -> tuple:
    """A classifier that is not as it was made, and its checkpoint as training writes it."""
    torch.manual_seed(0)
    model = Classifier(BACKBONE, NORM)
    model.train()
    model(torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3]), mode='loss')  # moves statistics
    cfg = Config(dict(model=dict(type='Classifier', backbone=BACKBONE, data_preprocessor=NORM)))
    path = tmp_path / 'run' / 'best_accuracy_top1_epoch_7.pth'
    path.parent.mkdir()
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=cfg.pretty_text, epoch=7)), path)
    return model, path


def loaded(checkpoint) -> LinearProbe:
    probe = LinearProbe(BACKBONE, 3, str(checkpoint), NORM)
    probe.init_weights()
    return probe


def same(probe: LinearProbe, model: BaseModel) -> bool:
    images = torch.randn(2, 3, 32, 32)
    model.eval()
    vectors = model.backbone.pooled(model.backbone.forward_taps(images)[-1])
    return torch.equal(probe.features(images), vectors)


def test_every_form_of_a_checkpoint(trained) -> None:
    model, path = trained
    exported = export_backbone(str(path))
    whole = export_backbone(str(path), str(path.parent / 'whole.pth'), with_head=True)
    for source in (path, path.parent, exported.pth, exported.safetensors, whole.pth):
        assert same(loaded(source), model)
    assert not same(LinearProbe(BACKBONE, 3), model)


def test_a_classifier_of_other_classes_is_not_read(trained, monkeypatch) -> None:
    model, path = trained
    probe = LinearProbe(dict(BACKBONE, num_classes=9), 3, str(path), NORM)
    before = {name: probe.backbone.state_dict()[name].clone() for name in probe.unused}
    said: list = []
    monkeypatch.setattr('hsakd_mm.evaluation.linear_probe.print_log', lambda text, *args: said.append(text))
    probe.init_weights()
    assert same(probe, model)
    for name, value in before.items():
        assert torch.equal(probe.backbone.state_dict()[name], value)
    whole = len(model.backbone.state_dict())
    assert f'Probe: {whole - len(before)} tensors of the backbone' in said[-1]


def test_a_checkpoint_of_another_network_is_refused(trained, tmp_path) -> None:
    weights = Classifier(dict(BACKBONE, width=(4, 4, 8, 4))).backbone.state_dict()
    torch.save(weights, tmp_path / 'narrow.pth')
    with pytest.raises(UserError, match='backbone of the probe.*of another shape'):
        loaded(tmp_path / 'narrow.pth')
    weights = {key: value for key, value in trained[0].backbone.state_dict().items() if 'layer3' not in key}
    torch.save(weights, tmp_path / 'part.pth')
    with pytest.raises(UserError, match='missing: layer3'):
        loaded(tmp_path / 'part.pth')
    with pytest.raises(UserError, match='nowhere'):
        loaded(tmp_path / 'nowhere')


def test_only_the_layer_learns(trained) -> None:
    _, path = trained
    probe = loaded(path)
    before = {key: value.clone() for key, value in probe.state_dict().items()}
    optimizer = torch.optim.SGD(probe.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    probe.train()
    assert probe.training and not any(part.training for part in probe.backbone.modules())
    losses = []
    images, labels = torch.randn(6, 3, 32, 32), torch.arange(6) % 3
    for _ in range(5):
        optimizer.zero_grad()
        loss = probe(images, labels, mode='loss')['loss_ce']
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    changed = {key for key, value in probe.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {'fc.weight', 'fc.bias'}


def test_predictions_are_of_the_probes_classes(trained) -> None:
    probe = loaded(trained[1]).eval()
    assert probe.num_classes == 3 and probe.backbone.num_classes == 5
    assert probe.backbones == [probe.backbone]
    sample = probe(torch.randn(1, 3, 32, 32), torch.tensor([2]), mode='predict')[0]
    assert sample['pred_scores'].shape == (3,) and sample['gt_label'] == 2


def test_its_checkpoint_needs_no_other(trained, tmp_path) -> None:
    probe = loaded(trained[1])
    again = LinearProbe(BACKBONE, 3, 'gone')  # as tools/test.py builds it
    again.load_state_dict(probe.state_dict())
    assert same(again, probe)


@pytest.mark.parametrize(
    'backbone, keys',
    [
        (BACKBONE, {'fc.weight', 'fc.bias'}),
        (dict(type='CifarMobileNetV2', num_classes=5), {'classifier.weight', 'classifier.bias'}),
        (
            dict(type='TimmBackbone', model_name='resnet18', num_classes=5, channels=(8, 8, 8, 8)),
            {'fc.weight', 'fc.bias'},
        ),
    ],
)
def test_classifier_keys(backbone, keys) -> None:
    assert classifier_keys(MODELS.build(backbone)) == keys


@pytest.mark.parametrize('name, classes', [('mbv2_stl10', 10), ('mbv2_tiny_imagenet', 200)])
def test_the_papers_recipe(name, classes) -> None:
    """papers.md 1.5: 100 epochs, SGD .1/.9 with Nesterov, no decay, /10 at 30, 60, 90; 64."""
    cfg = Config.fromfile(Path(REPO, 'configs', 'linear', f'{name}.py'))
    probe = MODELS.build(cfg.model)
    assert isinstance(probe, LinearProbe) and probe.fc.weight.shape == (classes, 1280)
    trained = [key for key, value in probe.named_parameters() if value.requires_grad]
    assert trained == ['fc.weight', 'fc.bias'] and isinstance(probe.fc, nn.Linear)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.momentum) == ('SGD', 0.1, 0.9)
    assert optimizer.nesterov and optimizer.weight_decay == 0
    assert cfg.train_cfg.max_epochs == 100 and cfg.param_scheduler.milestones == [30, 60, 90]
    assert cfg.train_dataloader.batch_size == 64 == cfg.auto_scale_lr.base_batch_size
