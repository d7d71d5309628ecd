import os
import re

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import nn

from hsakd_mm.checkpoints.finite import is_broken
from hsakd_mm.checkpoints.loading import load_backbone_weights, load_checkpoint, load_strict
from hsakd_mm.errors import UserError


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))


def test_weights_are_fetched_by_address(tmp_path) -> None:
    torch.save({'weight': torch.ones(2)}, tmp_path / 'far.pth')
    content = load_checkpoint((tmp_path / 'far.pth').as_uri())
    assert content['state_dict']['weight'].tolist() == [1, 1]


def test_two_addresses_may_end_in_the_same_file_name(tmp_path) -> None:
    for number in (1, 2):
        (tmp_path / f'{number}').mkdir()
        torch.save({'weight': torch.tensor([number])}, tmp_path / f'{number}' / 'model.pth')
    for _ in range(2):  # the second time from the cache
        for number in (1, 2):
            content = load_checkpoint((tmp_path / f'{number}' / 'model.pth').as_uri())
            assert content['state_dict']['weight'].tolist() == [number]


@pytest.mark.parametrize(
    'name, said',
    [
        ('torchvision://resnet35', "no weights named 'resnet35': did you mean resnet"),
        ('file:///nowhere/x.pth', 'were to be fetched from file:///nowhere/x.pth, and that failed'),
    ],
)
def test_what_cannot_be_fetched(name, said) -> None:
    with pytest.raises(UserError, match=said):
        load_checkpoint(name)


def test_offline_advice_for_timm_is_what_timm_reads(tmp_path, monkeypatch) -> None:
    """Both ways that the sentence names work, without a network."""
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    name = 'test_resnet.r160_in1k'
    with pytest.raises(UserError) as refused:
        load_checkpoint(f'timm://{name}')
    said = str(refused.value)
    file = re.search(r'download (\S+) there', said)[1]
    folder = os.path.join(re.search(r'the one here, (.+)\.$', said)[1], re.search(r'the folder (\S+)', said)[1])
    torch.manual_seed(0)
    weights = timm.create_model(name).state_dict()

    os.makedirs(f'{folder}/snapshots/0123')  # as huggingface_hub lays it out
    save_file(weights, f'{folder}/snapshots/0123/{file}')
    os.makedirs(f'{folder}/refs')
    with open(f'{folder}/refs/main', 'w') as ref:
        ref.write('0123')
    fetched = load_checkpoint(f'timm://{name}')
    assert all(torch.equal(fetched['state_dict'][key], value) for key, value in weights.items())

    save_file(weights, tmp_path / file)
    assert load_checkpoint(str(tmp_path / file))['state_dict'].keys() == weights.keys()


@pytest.mark.parametrize(
    'name, kept_as',
    [
        ('torchvision://resnet18', r'resnet18-[0-9a-f]{8}\.pth'),  # torch's own name, which other programs find too
        ('https://nowhere.invalid/a/model.pth?raw=1', r'model-[0-9a-f]{8}\.pth'),
    ],
)
def test_offline_advice_is_what_is_read(name, kept_as, monkeypatch) -> None:
    def offline(*args, **kwargs) -> None:
        raise OSError('no network')

    monkeypatch.setattr(torch.hub, 'download_url_to_file', offline)
    with pytest.raises(UserError) as refused:
        load_checkpoint(name)
    file, folder = re.search(r'put it as (\S+) into (.+)\.$', str(refused.value)).groups()
    assert re.fullmatch(kept_as, file)
    os.makedirs(folder, exist_ok=True)
    torch.save({'weight': torch.ones(2)}, os.path.join(folder, file))
    assert load_checkpoint(name)['state_dict']['weight'].tolist() == [1, 1]


def test_backbone_of_a_training_checkpoint(tmp_path) -> None:
    state_dict = {'backbone.conv1.weight': torch.ones(1), 'branches.0.fc.bias': torch.ones(1)}
    torch.save(dict(state_dict=state_dict, meta={}), tmp_path / 'epoch_1.pth')
    assert list(load_backbone_weights(str(tmp_path / 'epoch_1.pth'))) == ['conv1.weight']


@pytest.mark.parametrize(
    'change, said',
    [
        (lambda state: state.pop('0.weight'), '1 missing: 0.weight'),
        (lambda state: state.update(extra=torch.ones(1)), '1 left over: extra'),
        (lambda state: state.update({'0.bias': torch.ones(3)}), r'0.bias \(here \[2\], in the file'),
    ],
)
def test_strict_means_strict_and_leaves_the_module_alone(change, said) -> None:
    module, other = (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)) for _ in range(2))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state_dict = other.state_dict()
    change(state_dict)
    with pytest.raises(UserError, match=said):
        load_strict(module, state_dict, source='x.pth', what='test')
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_files_older_than_batch_counting_load() -> None:
    module, other = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    nn.init.constant_(other.weight, 3)
    state_dict = other.state_dict()
    del state_dict['num_batches_tracked']
    load_strict(module, state_dict, source='x.pth', what='test')
    assert module.weight.tolist() == [3, 3]


@pytest.mark.parametrize(
    'value, broken',
    [
        (torch.tensor([1.0, torch.inf]), True),
        (torch.tensor(torch.nan), True),
        (torch.tensor(-torch.inf), False),  # a bound of clipping, as Gemma's vision towers have many
        (torch.tensor([1.0, -2.0]), False),
        (torch.tensor(3), False),
    ],
)
def test_what_counts_as_a_broken_tensor(value, broken) -> None:
    assert is_broken(value) == broken
