"""The demo from end to end (``--smoke``: every stage, one epoch, few pictures), in processes.

It runs in a folder of links to this checkout, so that it finds nothing done and leaves nothing.
"""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import REPO


@pytest.fixture(scope='module')
def checkout(tmp_path_factory):
    folder = tmp_path_factory.mktemp('checkout')
    for name in ('configs', 'tools', 'hsakd_mm'):
        (folder / name).symlink_to(REPO / name)
    return folder


def start(checkout) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, 'tools/demo.py', '--smoke'],
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
        if line.startswith('[3/11]'):  # the teacher is done, the student has begun
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
            break
    _, errors = process.communicate()
    assert process.returncode == 130
    assert 'run bash tools/demo.sh again to continue' in errors
    assert 'Traceback' not in errors

    output, errors = start(checkout).communicate()
    assert '[2/11] teacher: backbone and branches: done before' in output, errors
    work_dir = checkout / 'work_dirs' / 'demo_smoke'
    report = json.loads((work_dir / 'report.json').read_text())
    rows = {row['name']: row for row in report['rows']}
    assert list(rows) == ['none (random)', 'plain', 'HSAKD']
    for row in rows.values():
        assert {
            'AP',
            'AP50',
            'AP75',
            'seconds',
            'parameters',
            'command',
            'commit',
            'seed',
            'hardware',
            'data_sha256',
        } <= row.keys()
    assert rows['none (random)']['checkpoint_sha256'] is None
    assert rows['plain']['checkpoint_sha256'] != rows['HSAKD']['checkpoint_sha256']
    assert rows['HSAKD']['pretraining']['method'] == 'HSAKD'
    assert 'HSAKD' in output and 'AP50' in output  # the table in the terminal
    for name in ('ap', 'curves', 'detections'):
        assert (work_dir / f'{name}.png').read_bytes().startswith(b'\x89PNG')
        assert f'{name}.png' in (work_dir / 'report.md').read_text()
    loaded = (work_dir / 'det_hsakd' / 'output.log').read_text()
    assert 'StrictPretrained: 126 of 126 tensors of ResNet loaded' in loaded

    output, errors = start(checkout).communicate()
    assert output.count('done before') == 10, errors  # all but the data, which is checked by hash
