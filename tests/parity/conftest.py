"""``pytest tests/parity --vectors DIR``: any folder of vectors instead of the committed ones."""

from pathlib import Path

import pytest
import torch

OWN_VECTORS = Path(__file__).parent / 'vectors'


@pytest.fixture(autouse=True, scope='module')
def one_thread():
    """float64 convolutions gain little from more, and lose much on a machine that is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pytest_generate_tests(metafunc) -> None:
    """``vector_file`` is one of HSAKD's, ``css_file`` one of CSS's."""
    folder = Path(metafunc.config.getoption('--vectors') or OWN_VECTORS)
    for fixture in {'vector_file', 'css_file'} & set(metafunc.fixturenames):
        files = sorted(folder.glob('*.json'))
        if not files:
            raise pytest.UsageError(f'--vectors expects a folder of *.json; {folder} has none.')
        files = [file for file in files if file.stem.startswith('css_') == (fixture == 'css_file')]
        metafunc.parametrize(fixture, files, ids=[file.stem for file in files], scope='module')


def pytest_terminal_summary(terminalreporter) -> None:
    missing = sorted(
        {
            report.nodeid.rpartition('[')[2].rstrip(']').split('-')[0]
            for report in terminalreporter.stats.get('skipped', ())
            if 'parity case missing' in str(report.longrepr)
        }
    )
    if missing:
        terminalreporter.write_line(f'parity: not tested, networks missing here: {", ".join(missing)}')
