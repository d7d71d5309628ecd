"""How many threads torch starts on a CPU, and how they wait: decided before torch is loaded.

OpenMP starts a thread for each core of the host, also where a container may use two of sixty-four, and its threads
spin while they wait for each other. Beside another busy process the thread that all wait for is not running, and the
others use up the core that it needs.
"""

import os
import sys
from pathlib import Path

_OURS = 'HSAKD_MM_OMP_NUM_THREADS'


def available_cores(cgroups: str = '/sys/fs/cgroup', own: str = '/proc/self/cgroup') -> int:
    """Cores that this process may use: of its affinity, and of the quota of its control group and those around it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return max(1, min([cores, *(int(quota) for quota in _quotas(Path(cgroups), Path(own)))]))


def _quotas(cgroups: Path, own: Path):
    """Quotas in cores, of version 2 (``cpu.max``) and 1 (``cpu.cfs_quota_us``)."""
    lines = own.read_text().splitlines() if own.is_file() else []
    paths = {'/'}
    for line in lines:
        _, controllers, path = line.split(':', 2)
        if not controllers or 'cpu' in controllers.split(','):
            paths |= {str(parent) for parent in (Path(path), *Path(path).parents)}
    for path in paths:
        group = cgroups / path.lstrip('/')
        values = _words(group / 'cpu.max')
        legacy = cgroups / 'cpu' / path.lstrip('/')
        values = values or [*_words(legacy / 'cpu.cfs_quota_us'), *_words(legacy / 'cpu.cfs_period_us')]
        if len(values) == 2 and all(value.isdecimal() and int(value) > 0 for value in values):  # not 'max', not -1
            yield max(1.0, int(values[0]) / int(values[1]))


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def limited_threads() -> bool:
    """Whether :func:`prepare` set the number of threads, here or in the process that started this one."""
    return _OURS in os.environ and os.environ[_OURS] == os.environ.get('OMP_NUM_THREADS')


def prepare() -> None:
    """Have threads wait without spinning, and no more of them than cores that may be used; a user's settings stay.

    Without effect once torch is loaded.
    """
    if 'torch' in sys.modules:
        return
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    cores = available_cores()
    if cores < (os.cpu_count() or 1) and 'OMP_NUM_THREADS' not in os.environ:
        os.environ['OMP_NUM_THREADS'] = os.environ[_OURS] = str(cores)


prepare()
