"""The demo's bench from end to end (``--smoke``: every stage, one epoch, few images), in processes.

It runs in a folder of links to this checkout, so that it finds nothing done and leaves nothing.
"""

import json
import os
import signal
import subprocess

import pytest

from tests.conftest import REPO
from tests.tools.prestarted import prestarted

ROWS = ['plain', 'plain, same cost', 'KD, same cost', 'HSAKD']


@pytest.fixture(scope='module')
def checkout(tmp_path_factory):
    folder = tmp_path_factory.mktemp('checkout')
    for name in ('configs', 'tools', 'hsakd_mm'):
        (folder / name).symlink_to(REPO / name)
    return folder


def start(checkout) -> subprocess.Popen:
    return subprocess.Popen(
        [prestarted(), 'tools/benchmark.py', 'configs/demo/bench.py', '--smoke', '--jobs', '1'],
        cwd=checkout,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=dict(os.environ, PYTHONPATH=str(checkout)),
    )


def test_stopped_then_continued_then_skipped(checkout) -> None:
    process = start(checkout)
    for line in process.stdout:
        if line.startswith('[2/5] plain'):  # the teacher is done, a student has begun
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
            break
    _, errors = process.communicate()
    assert process.returncode == 130
    assert 'stopped: the same command continues' in errors
    assert 'Traceback' not in errors

    output, errors = start(checkout).communicate()
    assert '[1/5] teacher, seed 0: done before' in output, errors
    work_dir = checkout / 'work_dirs' / 'demo_smoke'
    report = json.loads((work_dir / 'report.json').read_text())
    assert [row['name'] for row in report['rows']] == ROWS
    assert all(len(run['first_losses']) == 3 for run in report['runs'])
    assert report['data'][0]['content_sha256']  # the embedded data are known by their content
    compared = json.loads((work_dir / 'detectors' / 'report.json').read_text())
    runs = {run['name']: run for run in compared['runs']}
    assert list(runs) == ['random', *ROWS]
    for run in runs.values():
        assert {'AP', 'AP50', 'AP75', 'seconds', 'parameters', 'command', 'commit', 'seed', 'hardware'} <= run.keys()
    assert runs['random']['checkpoint_sha256'] is None
    assert compared['bench'] == 'configs/demo/bench.py'
    assert [name for name, run in runs.items() if run.get('first_losses')] == ['random']
    assert len({run['detector_config_sha256'] for run in runs.values()}) == 1
    assert runs['plain']['checkpoint_sha256'] != runs['HSAKD']['checkpoint_sha256']
    assert runs['HSAKD']['pretraining']['method'] == 'HSAKD'
    top1 = {row['name']: row['top1'] for row in report['rows']}
    assert {name: runs[name]['top1'] for name in ROWS} == top1  # one figure, in both tables
    assert 'Smoke run' in (work_dir / 'report.md').read_text()
    assert 'Smoke run' in (work_dir / 'detectors' / 'report.md').read_text()
    assert not (work_dir / 'detectors' / 'learning_curves.png').exists()  # one validation is no curve
    loaded = (work_dir / 'detectors' / 'HSAKD-seed0' / 'output.log').read_text()
    assert 'StrictPretrained: 126 of 126 tensors of ResNet loaded' in loaded

    output, errors = start(checkout).communicate()
    assert output.count('done before') == 10, errors  # all but the data, which is checked by hash
