"""Weights of the hub: what is read of a repository. The download is stood in for; tests/hub/test_pushing.py does it."""

import json

import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError
from mmengine.config import Config

from hsakd_mm.checkpoints import fetching, hf_hub
from hsakd_mm.checkpoints.fetching import is_fetched
from hsakd_mm.checkpoints.loading import load_checkpoint, sha256
from hsakd_mm.checkpoints.work_dir import find_checkpoint
from hsakd_mm.engine.run_identity import _weights
from hsakd_mm.errors import UserError


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A folder that stands for the snapshot of a repository in the cache; what was asked for."""
    folder, asked = tmp_path / 'snapshots' / 'c0ffee', []
    folder.mkdir(parents=True)

    def download(name, file, revision, **kwargs):
        asked.append((name, revision, file))
        if not (folder / file).exists():
            raise EntryNotFoundError(file)
        return str(folder / file)

    monkeypatch.setattr(hf_hub, 'hf_hub_download', download)
    return folder, asked


@pytest.mark.parametrize(
    'config', [dict(pretrained_cfg=dict(mean=[0.5] * 3, std=[0.2] * 3)), dict(mean=[0.5] * 3, std=[0.2] * 3)]
)
def test_another_projects_weights(repository, config) -> None:
    folder, asked = repository
    torch.save({'conv1.weight': torch.ones(2)}, folder / 'pytorch_model.bin')
    (folder / 'config.json').write_text(json.dumps(config))
    content = load_checkpoint('hf-hub:you/net@v2')
    assert content['state_dict']['conv1.weight'].tolist() == [1, 1]
    assert content['meta'] == dict(
        normalisation=dict(mean=[127.5] * 3, std=[51.0] * 3), revision='c0ffee',
        sha256=sha256(str(folder / 'pytorch_model.bin')),
    )  # fmt: skip
    files = ['model.safetensors', 'pytorch_model.bin', 'config.json']
    assert asked[:3] == [('you/net', 'v2', file) for file in files]


def test_without_a_config_nothing_is_said_of_the_images(repository) -> None:
    folder, asked = repository
    torch.save({'conv1.weight': torch.ones(2)}, folder / 'pytorch_model.bin')
    assert 'normalisation' not in load_checkpoint('timm://hf-hub:you/net')['meta']
    assert asked[0] == ('you/net', None, 'model.safetensors')


def test_no_code_of_a_repository_runs(repository) -> None:
    folder, _ = repository
    torch.save({'conv1.weight': torch.ones(2), 'code': print}, folder / 'pytorch_model.bin')
    with pytest.raises(UserError, match='pytorch_model.bin'):
        load_checkpoint('hf-hub:you/net')


def test_a_repository_without_weights(repository) -> None:
    with pytest.raises(UserError, match=r'hf-hub:you/net were .* \(it holds neither model.safetensors nor pytorch_'):
        load_checkpoint('hf-hub:you/net')


def test_names_of_the_hub_are_no_files(tmp_path) -> None:
    assert is_fetched('hf-hub:me/net') and is_fetched('timm://resnet18') and not is_fetched('hf-hub/me.pth')
    assert find_checkpoint('hf-hub:me/net') == 'hf-hub:me/net'


def test_a_runs_identity_asks_no_other_rank(repository, monkeypatch) -> None:
    """Rank 0 takes it alone, so that a collective would wait for ever."""
    folder, _ = repository
    torch.save({'conv1.weight': torch.ones(2)}, folder / 'pytorch_model.bin')
    monkeypatch.setattr(fetching, 'on_all_ranks', lambda *_: pytest.fail('a collective'))
    cfg = Config(dict(model=dict(type='HSAKDTeacher', checkpoint='hf-hub:you/net')))
    assert dict(_weights(cfg)) == {'model.checkpoint': sha256(str(folder / 'pytorch_model.bin'))}
