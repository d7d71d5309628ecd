"""Memory that a step on a CPU frees is there for the next one."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from hsakd_mm.engine.cpu_memory import keep_freed_memory
from tests.conftest import REPO

# Page faults of "steps" that each take 256 MiB and free them, in blocks that glibc gives back by itself whatever
# lies behind them.
STEPS = """
import resource, statistics, sys, torch
from torch import nn
from hsakd_mm.engine.cpu_memory import NEVER, keep_freed_memory, set_thresholds

kept = set_thresholds(*NEVER) and keep_freed_memory(nn.Linear(1, 1)) if sys.argv[1] == 'keep' else False
faults = []
for _ in range(10):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(2**24) for _ in range(4)]
    del blocks
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
# A step may still find a block too small, and the heap grows; it stops growing.
print(kept, min(faults[1:]), statistics.median(faults[1:]), sum(faults[1:]))
"""


def faults_of_steps(how: str, **environment) -> list[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(('MALLOC_', 'GLIBC_'))}
    return subprocess.run(
        [sys.executable, '-c', STEPS, how],
        env={**env, **environment},
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()


def test_freed_memory_is_not_asked_for_again() -> None:
    kept, _, median, total = faults_of_steps('keep')
    if kept == 'False':
        pytest.skip('the C library is not glibc, or an old one, which keeps blocks below 32 MiB only')
    assert float(median) < 1_000 and int(total) < 2 * 65_536  # of nine steps; one takes 65,536 pages
    _, least, _, _ = faults_of_steps('usual')
    assert int(least) > 10_000


def test_settings_of_the_user_stay() -> None:
    assert faults_of_steps('keep', MALLOC_TRIM_THRESHOLD_='1000000')[0] == 'False'


def test_a_model_that_is_not_on_the_cpu_changes_nothing() -> None:
    assert keep_freed_memory(nn.Linear(1, 1, device=torch.device('meta'))) is False
