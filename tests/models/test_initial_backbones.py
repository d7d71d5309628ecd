"""``load_backbone_from`` of methods with one network and with several; of each method in tests/test_every_method.py."""

import pytest
import timm
import torch

from hsakd_mm.checkpoints.fetching import fetch
from hsakd_mm.checkpoints.pretrained import load_without_head
from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones import TimmBackbone
from hsakd_mm.models.distillers.dml import DML
from hsakd_mm.models.distillers.hsakd import HSAKD
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.models.distillers.sskd import SSKDTeacher

SMALL = dict(type='CifarResNet', depth=8, num_classes=3, width=(4, 4, 8, 8))
OTHER = dict(SMALL, depth=14)


@pytest.fixture
def file(tmp_path):
    """``file(network)``: weights of that network with seven classes."""

    def make(network: dict = SMALL) -> str:
        path = tmp_path / f'{network["depth"]}.pth'
        torch.manual_seed(network['depth'])
        torch.save(Classifier(dict(network, num_classes=7)).state_dict(), path)
        return str(path)

    return make


def holds(backbone, path: str) -> bool:
    weights = torch.load(path)
    return all(
        torch.equal(value, weights[f'backbone.{name}'])
        for name, value in backbone.state_dict().items()
        if not name.startswith('fc.')
    )


def test_networks_of_one_architecture_start_from_one_file(file) -> None:
    model = DML([dict(backbone=SMALL)] * 2, load_backbone_from=file())
    model.init_weights()
    assert all(holds(backbone, file()) for backbone in model.backbones)
    assert not torch.equal(*(backbone.fc.weight for backbone in model.backbones))


def test_a_list_has_a_file_for_each(file) -> None:
    nets = [dict(backbone=SMALL), dict(backbone=OTHER), dict(backbone=SMALL)]
    model = DML(nets, load_backbone_from=[file(SMALL), file(OTHER), None])
    said = model.load_backbones()
    assert [holds(*pair) for pair in zip(model.backbones, (file(SMALL), file(OTHER), file(SMALL)))] == [1, 1, 0]
    assert len(said) == 2 and said[1].startswith(f'The backbone of net2 starts from {file(OTHER)} (SHA-256 ')


@pytest.mark.parametrize(
    'sources, words',
    [
        ('8.pth', 'different architectures: give a list'),
        (['8.pth'], 'weights of the 2 networks of DML.* there are 1 in'),
        (7, 'there are no list but 7'),
        (['8.pth', '8.pth'], 'the backbone of net2 without its classifier has'),
        (['8.pth', 'nothing.pth'], 'there is none: .* model.load_backbone_from=FILE'),
    ],
)
def test_networks_that_cannot_take_it(file, tmp_path, monkeypatch, sources, words) -> None:
    file()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words):
        DML([dict(backbone=SMALL), dict(backbone=OTHER)], load_backbone_from=sources).init_weights()


def test_a_frozen_method_names_its_own_option() -> None:
    with pytest.raises(UserError, match='train a Classifier with load_backbone_from first'):
        SSKDTeacher(SMALL, load_backbone_from='8.pth')


def test_branches_start_as_without_it(file) -> None:
    models = []
    for source in (None, file()):
        torch.manual_seed(3)
        models.append(HSAKD(SMALL, load_backbone_from=source))
        models[-1].init_weights()
        models[-1].after = torch.rand(3)
    plain, started = models
    assert torch.equal(plain.after, started.after) and holds(started.backbone, file())
    theirs = started.state_dict()
    for name, value in plain.state_dict().items():
        assert torch.equal(value, theirs[name]) == (name.startswith(('branches.', 'backbone.fc.')) or same(value)), name


def same(value: torch.Tensor) -> bool:
    """Of BatchNorm, which starts with these."""
    return bool((value == 0).all() or (value == 1).all())


def test_a_model_of_the_hub_without_a_classifier(monkeypatch) -> None:
    """The download is stood in for."""
    narrow = dict(channels=(8, 8, 16, 16))
    theirs = timm.create_model('resnet18', num_classes=0, **narrow)
    content = dict(state_dict=theirs.state_dict(), meta=dict(normalisation=dict(mean=[127.5] * 3, std=[127.5] * 3)))
    monkeypatch.setattr('hsakd_mm.checkpoints.fetching.read_repository', lambda name: content)
    backbone = TimmBackbone('resnet18', num_classes=3, **narrow)
    said = load_without_head(backbone, 'hf-hub:someone/resnet')
    assert 'starts from hf-hub:someone/resnet: ' in said and said.endswith('random: fc.weight, fc.bias.')
    assert torch.equal(backbone.layer4[0].conv1.weight, theirs.layer4[0].conv1.weight)


def test_a_repository_that_is_not_there(monkeypatch) -> None:
    def refuse(name):
        raise ValueError('Repo id must be in the form name/name')

    monkeypatch.setattr('hsakd_mm.checkpoints.fetching.read_repository', refuse)
    for name in ('hf-hub:a/b', 'timm://hf-hub:a/b'):
        with pytest.raises(UserError, match='fetched from https://huggingface.co/a/b, .* see that .* is there'):
            fetch(name)
