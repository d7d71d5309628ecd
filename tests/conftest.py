"""Options that have to be known before any test folder is read, and what several folders share."""
from pathlib import Path

import pytest

REPO = Path(__file__).parent.parent


def pytest_addoption(parser) -> None:
    parser.addoption('--vectors', metavar='DIR',
                     help='folder of parity vectors (default: tests/parity/vectors)')


@pytest.fixture(scope='session')
def demo_data(tmp_path_factory) -> Path:
    """The demo's own data, with few scenes: real digits, in ``digits/`` and ``scenes/``."""
    from hsakd_mm.datasets.digits import prepare_demo_data
    out = tmp_path_factory.mktemp('data') / 'demo'
    prepare_demo_data(str(out), seed=0, train_scenes=8, test_scenes=4)
    return out
