"""The authors' key names and ours: every name, in order, both ways."""

import json
from pathlib import Path

import pytest
import torch

from hsakd_mm.checkpoints.upstream import from_upstream, to_upstream
from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.branched import BranchedNet
from hsakd_mm.registry import MODELS
from tests.conftest import REPO
from tests.parity.networks import BACKBONES

VECTORS = sorted((REPO / 'tests' / 'parity' / 'vectors').glob('*_aux.json'))
assert VECTORS, 'without them nothing is compared'
THEIRS = {
    case[role]: [key for key, _ in case[f'{role}_keys']]
    for case in map(json.loads, map(Path.read_text, VECTORS))
    for role in ('student', 'teacher')
}


def names_of(name: str) -> list:
    """Of our network with branches."""
    with torch.device('cpu' if 'imagenet' in name else 'meta'):  # timm's are probed when made
        return list(BranchedNet(dict(BACKBONES[name], num_classes=3), None, 4).state_dict())


@pytest.mark.parametrize('name', sorted(set(THEIRS) - {'resnet34_imagenet_aux'}))  # as 18, slower
def test_all_names_in_order(name) -> None:
    ours, theirs = names_of(name), THEIRS[name]
    assert list(from_upstream(dict.fromkeys(theirs))) == ours
    assert list(to_upstream(dict.fromkeys(ours))) == theirs
    both = [f'net{number}.{key}' for number in (1, 2) for key in theirs]
    assert list(from_upstream(dict.fromkeys(both))) == [f'net{number}.{key}' for number in (1, 2) for key in ours]


@pytest.mark.parametrize('name', sorted(set(BACKBONES) - set(THEIRS) - {'resnet50_imagenet_aux'}))
def test_there_and_back(name) -> None:
    ours = {key: index for index, key in enumerate(names_of(name))}
    theirs = to_upstream(ours)
    assert list(from_upstream(theirs).items()) == list(ours.items())
    assert not any('branches' in key for key in theirs)


def test_two_networks_of_different_families() -> None:
    nets = [names_of(name) for name in ('wrn_16_2_aux', 'mobilenetV2_aux')]
    ours = {f'net{number}.{key}': 0 for number, keys in enumerate(nets, 1) for key in keys}
    theirs = to_upstream(ours)
    assert {'net1.auxiliary_classifier.bn1.weight', 'net2.auxiliary_classifier.conv2_4.0.weight'} <= set(theirs)
    assert list(from_upstream(theirs)) == list(ours)


def test_plain_network_and_data_parallel() -> None:
    with torch.device('meta'):
        ours = MODELS.build(dict(BACKBONES['ShuffleV2_aux'], num_classes=3)).state_dict()
    parallel = {f'module.{key}': value for key, value in ours.items()}
    converted = from_upstream(parallel)
    assert list(converted) == [f'backbone.{key}' for key in ours]
    assert list(to_upstream(converted)) == list(ours)


@pytest.mark.parametrize(
    'convert, key',
    [
        (from_upstream, 'auxiliary_classifier.attention1.weight'),
        (from_upstream, 'net1.branches.0.fc.weight'),
        (to_upstream, 'classifier.weight'),
    ],
)
def test_unknown_names_are_refused(convert, key) -> None:
    with pytest.raises(UserError, match='there is no'):
        convert({'backbone.conv1.weight': 0, key: 0})
