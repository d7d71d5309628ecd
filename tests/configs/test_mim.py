"""mim and mmengine find the configs by name, as they look in an installed package."""

import pytest
import yaml
from mmengine.hub import get_config, hub

import hsakd_mm  # noqa: F401  makes the name known to mmengine
from tests.configs.catalog import METHODS, REPO

FILES = yaml.safe_load((REPO / 'model-index.yml').read_text())['Import']


@pytest.fixture
def installed(tmp_path, monkeypatch) -> None:
    """A package as setup.py installs it: with ``.mim`` inside."""
    mim = tmp_path / 'hsakd_mm' / '.mim'
    mim.mkdir(parents=True)
    for name in ('configs', 'model-index.yml'):
        (mim / name).symlink_to(REPO / name)
    monkeypatch.setattr(hub, 'get_installed_path', lambda package: str(mim.parent))


@pytest.mark.parametrize('file', FILES)
def test_mmengine_gets_a_config_by_its_name(file, installed) -> None:
    if 'transfer' in file:
        pytest.importorskip('mmdet', reason='mmdet is not installed')
    model = yaml.safe_load((REPO / file).read_text())['Models'][0]
    cfg = get_config(f'hsakd_mm::{model["Config"].removeprefix("configs/")}')
    assert cfg.model.type and cfg.filename.endswith(model['Config'])


def test_mim_reads_the_index() -> None:
    """With openmim's own reader, where it is installed; mim search shows what it gives."""
    reader = pytest.importorskip('modelindex.load_model_index', reason='openmim (model-index) is not installed')
    names = {model.name for model in reader.load(str(REPO / 'model-index.yml')).models}
    assert names == {model['Name'] for file in FILES for model in yaml.safe_load((REPO / file).read_text())['Models']}


def test_results_are_those_of_a_run() -> None:
    """A result or weights in a metafile need a run of ours, in a JSON that the model names; so far there is none."""
    for folder in METHODS:
        for model in yaml.safe_load((folder / 'metafile.yml').read_text())['Models']:
            if model.get('Results') or model.get('Weights'):
                assert (REPO / model['Metadata']['Run']).is_file(), model['Name']
