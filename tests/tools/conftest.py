"""The dataset converters, run in this process, and images with boxes for them."""

import json
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

from .commands import ROOT


@pytest.fixture
def tool(tmp_path, monkeypatch, capsys):
    """Runs a converter in this process; what it printed, or the one sentence it ended with."""

    def run(name: str, *args) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
        code = 0
        try:
            runpy.run_path(str(ROOT / 'tools/dataset_converters' / f'{name}.py'), run_name='__main__')
        except SystemExit as end:
            code = end.code
        shown = capsys.readouterr()
        if code == 0:
            return shown.out
        errors = shown.err.splitlines()
        assert code == 2 and len(errors) == 1 and errors[0].startswith('error: '), shown
        return errors[0]

    return run


@pytest.fixture
def scenes(demo_data, tmp_path) -> tuple:
    """The demo's scenes as JPEGs in ``tmp_path/scenes``, and their COCO content."""
    coco = json.loads((demo_data / 'scenes/train.json').read_text())
    (tmp_path / 'scenes').mkdir()
    for image in coco['images']:
        name = Path(image['file_name']).with_suffix('.jpg').name
        with Image.open(demo_data / 'scenes/train' / image['file_name']) as picture:
            picture.convert('RGB').save(tmp_path / 'scenes' / name)
        image['file_name'] = name
    return coco, tmp_path / 'scenes'
