"""Threads: as many as cores that may be used, waiting without spinning."""

import os
import subprocess
import sys

import pytest

from hsakd_mm import threads
from hsakd_mm.engine.torchrun import _share_cores
from hsakd_mm.threads import available_cores
from tests.conftest import REPO

ALL = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    'files, own, expected',
    [
        ({}, '', ALL),
        ({'cpu.max': 'max 100000'}, '0::/', ALL),
        ({'cpu.max': '100000 100000'}, '0::/', 1),
        ({'cpu.max': '50000 100000'}, '0::/', 1),  # half a core
        ({'cpu.max': 'max 100000', 'slurm/job7/cpu.max': '100000 100000'}, '0::/slurm/job7/step0', 1),
        ({'cpu/docker/x/cpu.cfs_quota_us': '100000', 'cpu/docker/x/cpu.cfs_period_us': '100000'}, '4:cpu:/docker/x', 1),
        ({'cpu/cpu.cfs_quota_us': '-1', 'cpu/cpu.cfs_period_us': '100000'}, '4:cpu,cpuacct:/', ALL),
        ({'cpu.max': '6400000 100000'}, '0::/', ALL),  # more than there are
    ],
)
def test_cores_of_the_quota(files, own, expected, tmp_path) -> None:
    for name, content in files.items():
        (tmp_path / 'cgroup' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'cgroup' / name).write_text(content + '\n')
    (tmp_path / 'own').write_text(own + '\n' if own else '')
    assert available_cores(str(tmp_path / 'cgroup'), str(tmp_path / 'own')) == expected


@pytest.mark.parametrize(
    'tool, given, policy',
    [
        ('train.py', {}, 'PASSIVE'),
        ('test.py', {}, 'PASSIVE'),
        ('linear_probe.py', {}, 'PASSIVE'),
        ('train.py', {'OMP_WAIT_POLICY': 'ACTIVE'}, 'ACTIVE'),
    ],
)
def test_openmp_is_told_before_it_is_loaded(tool, given, policy) -> None:
    """OpenMP itself says what it took over."""
    env = {key: value for key, value in os.environ.items() if key != 'OMP_WAIT_POLICY'}
    said = subprocess.run(
        [sys.executable, REPO / 'tools' / tool, '--help'],
        env=dict(env, OMP_DISPLAY_ENV='TRUE', **given),
        capture_output=True,
        text=True,
    ).stderr
    assert f"OMP_WAIT_POLICY = '{policy}'" in said


@pytest.mark.parametrize('given, expected', [({}, '4'), ({'OMP_NUM_THREADS': '3'}, '3')])
def test_a_launcher_divides_the_cores_of_the_quota(given, expected, monkeypatch) -> None:
    for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', threads._OURS):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, 'torch')
    monkeypatch.setattr(threads, 'available_cores', lambda: 8)
    monkeypatch.setattr('hsakd_mm.engine.torchrun.available_cores', lambda: 8)
    monkeypatch.setattr(os, 'cpu_count', lambda: 64)
    threads.prepare()
    assert os.environ['OMP_NUM_THREADS'] == given.get('OMP_NUM_THREADS', '8')
    _share_cores(2)
    assert os.environ['OMP_NUM_THREADS'] == expected
