"""The code on docs/api.md runs as it stands."""

import re

import pytest
import torch

from hsakd_mm import api
from tests.conftest import REPO

PAGE = (REPO / 'docs' / 'api.md').read_text()


def test_the_page(tmp_path, monkeypatch, capsys) -> None:
    pytest.importorskip('sklearn', reason='scikit-learn is not installed')
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r'^```python\n(.*?)^```$', PAGE, re.M | re.S)
    assert len(blocks) == 5
    scope: dict = {}
    for block in blocks:
        exec(compile(block, 'docs/api.md', 'exec'), scope)
    said = capsys.readouterr().out
    teacher, student = map(float, re.search(r'teacher (.*)%, student (.*)%', said).groups())
    assert min(teacher, student) > 40, said  # chance is 10
    assert 'divide them by 255' in said
    assert {'student.pth', 'student.safetensors', 'teacher.pth'} == {path.name for path in tmp_path.iterdir()}


def test_the_page_names_every_method_and_all_of_the_library() -> None:
    assert not [name for name in api.methods() if f'`{name}`' not in PAGE]
    reference = set(re.findall(r'^::: hsakd_mm\.api\.(\w+)$', PAGE, re.M))
    assert reference == set(api.__all__) - {'Export', 'UserError'}
