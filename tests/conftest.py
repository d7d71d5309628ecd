"""Options that have to be known before any test folder is read, and what several folders share."""

import gc
import runpy
import signal
import sys
from collections import Counter, OrderedDict
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from tests.faults.page import FaultPage
from tests.tools.prestarted import leave_out_what_takes_long
from tests.trained_backbones import write_checkpoint

REPO = Path(__file__).parent.parent

# A shell has its background jobs ignore Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
leave_out_what_takes_long()
# Seconds that torch waits for each worker of a loader which, after an error, the garbage collector finds.
torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL = 0.5


def pytest_addoption(parser) -> None:
    parser.addoption('--vectors', metavar='DIR', help='folder of parity vectors (default: tests/parity/vectors)')
    parser.addoption('--write-faults', action='store_true', help='write docs/faults.md from what tests/faults saw')


def pytest_configure(config) -> None:
    if config.getoption('write_faults'):
        config.pluginmanager.register(FaultPage(REPO / 'docs/faults.md'))


def pytest_collection_modifyitems(items) -> None:
    """Files of few tests first: these train networks, and side by side nothing long comes last."""
    tests_of = Counter(item.path for item in items)
    items.sort(key=lambda item: tests_of[item.path])


def pytest_collection_finish() -> None:
    """What has been imported stays: mmengine's data sets collect garbage, and would look at all of it each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_scope_and_logger(monkeypatch) -> None:
    """A Runner leaves the default scope of its config behind, and a logger that writes to its test's stderr."""
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())
    monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())


@pytest.fixture
def seen(record_property):
    """``seen(row, injected, outcome, where, method)`` adds a line to docs/faults.md if the test passes."""

    def record(row: str, injected: str, outcome: str, where: str = 'one process', method: str = '') -> None:
        record_property('fault', (row, injected, outcome, where, method))

    return record


@pytest.fixture(scope='session')
def demo_data(tmp_path_factory) -> Path:
    """The demo's own data, with few scenes: real digits, in ``digits/`` and ``scenes/``."""
    from hsakd_mm.datasets.digits.prepare import prepare_demo_data

    out = tmp_path_factory.mktemp('data') / 'demo'
    prepare_demo_data(str(out), seed=0, train_scenes=8, test_scenes=4)
    return out


@pytest.fixture
def refusal(tmp_path, monkeypatch, capsys):
    """Runs a tool in this process, in ``tmp_path``; the one sentence that it ends with."""

    def run(script: str, *args) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', [script, *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(REPO / 'tools' / script), run_name='__main__')
        said = capsys.readouterr().err
        assert ended.value.code == 2, said
        lines = [line for line in said.splitlines() if line.startswith('error: ')]
        assert len(lines) == 1 and 'Traceback' not in said, said
        return lines[0]

    return run


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
    """``(path, backbone)`` of a narrow student's training checkpoint."""
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp('run') / 'student' / 'epoch_3.pth'
    return path, write_checkpoint(path)


@pytest.fixture(scope='session')
def full_width(tmp_path_factory):
    """The same at ResNet-18's own width, which torchvision's has."""
    path = tmp_path_factory.mktemp('run') / 'student' / 'epoch_3.pth'
    return path, write_checkpoint(path, channels=(64, 128, 256, 512))
