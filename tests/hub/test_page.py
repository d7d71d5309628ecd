"""docs/hub.md: what it tells to type works, in order, against the stand-in of the hub."""

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import REPO
from tests.hub.stand_in import TOKEN, hub_stand_in
from tests.hub.trained import NARROW, save, timm

PAGE = (REPO / 'docs' / 'hub.md').read_text()
BLOCKS = re.findall(r'^```(bash|python)\n(.*?)^```', PAGE, re.M | re.S)
# Commands that are not run here: they take data, a network or another program.
NOT_RUN = ('export HF_TOKEN=', 'pip install', 'hsakd-mm transfer', 'hsakd-mm train', 'mim search')
EXPORT = 'hsakd-mm export'


def test_every_command_is_run_or_known() -> None:
    lines = [line for kind, block in BLOCKS if kind == 'bash' for line in block.splitlines()]
    assert lines and all(line.startswith((EXPORT, *NOT_RUN)) for line in lines)


def script() -> str:
    """The page as one program; hsakd-mm's configs are found where the package is installed, and not from a clone."""
    parts = ['import shlex, sys', 'from hsakd_mm.commands import export_backbone', '']
    for kind, block in BLOCKS:
        if kind == 'python' and 'get_config' not in block:
            parts.append(block)
        for line in block.splitlines() if kind == 'bash' else ():
            if line.startswith(EXPORT):
                parts += [f'sys.argv = shlex.split({line!r})[1:]', 'export_backbone.main()']
    return '\n'.join(parts)


def test_the_page_runs(tmp_path) -> None:
    for name in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(name, reason=f'{name} is not installed: requirements/onnx.txt')
    save(tmp_path / 'work_dirs' / 'my_student' / 'epoch_3.pth', timm('resnet18', **NARROW))
    quiet = dict(HF_HUB_DISABLE_XET='1', HF_HUB_DISABLE_TELEMETRY='1', HF_HUB_OFFLINE='0')
    with hub_stand_in() as (address, state):
        path = os.pathsep.join(filter(None, [str(REPO), os.environ.get('PYTHONPATH')]))
        env = dict(os.environ, HF_ENDPOINT=address, HF_TOKEN=TOKEN, HF_HOME=str(tmp_path / 'home'), PYTHONPATH=path)
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', script()],
            cwd=tmp_path, env=env | quiet, capture_output=True, text=True, timeout=900,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(re.search(r'largest difference to torch, in onnxruntime: (\S+)', done.stdout)[1]) < 1e-4
    assert 'torch.Size([1, 5]) torch.Size([1, 16])' in done.stdout and "('stride4', " in done.stdout
    assert not state.unknown
