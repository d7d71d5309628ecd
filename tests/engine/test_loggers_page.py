"""What docs/loggers.md says can be typed."""

import re
import shlex
import sys

import pytest
from mmengine.config import Config
from mmengine.registry import VISUALIZERS

from hsakd_mm.commands import train
from hsakd_mm.engine.loggers import run as loggers
from tests.tools.commands import ROOT

PAGE = (ROOT / 'docs/loggers.md').read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf'^```{language}\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks('bash') for line in block.splitlines() if 'hsakd-mm train' in line]


@pytest.mark.parametrize('line', COMMANDS)
def test_commands(line, monkeypatch):
    words = [word for word in shlex.split(line, comments=True) if '=' not in word]
    monkeypatch.setattr(sys, 'argv', words[1:])
    monkeypatch.chdir(ROOT)
    args = train.parse_args()
    assert (ROOT / args.config).is_file() and (args.tensorboard or args.wandb or args.mlflow)


def test_the_config(tmp_path, monkeypatch):
    """The backends begin no run before the training does; what they need to have installed is not looked for."""
    monkeypatch.setattr(loggers, 'find_spec', lambda name: True)
    (block,) = blocks('python')
    (tmp_path / 'config.py').write_text(block)
    cfg = Config.fromfile(tmp_path / 'config.py')
    loggers.use_loggers(cfg)
    visualizer = VISUALIZERS.build(dict(cfg.visualizer, name=str(tmp_path), save_dir=str(tmp_path)))
    visualizer.add_config(cfg)
    _, *ours = visualizer._vis_backends.values()
    assert [type(backend) for backend in ours] == list(loggers.BACKENDS)


def test_names_are_those_of_the_code():
    table = next(line for line in PAGE.splitlines() if line.startswith('| Option'))
    rows = [line.split('|')[1].strip(' `') for line in PAGE[PAGE.index(table) :].split('\n\n')[0].splitlines()[2:]]
    assert rows == [f'--{backend.kind}' for backend in loggers.BACKENDS]
