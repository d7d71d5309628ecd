"""The processes of a distributed run: ranks, exit statuses, ending together, errors that reach all ranks."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import cache

import torch
from mmengine.dist import all_gather_object, get_world_size
from torch import distributed

from hsakd_mm.errors import UserError

# Exit status of a run that was told to stop, has written a checkpoint and wants to be started again.
# It is EX_TEMPFAIL of sysexits.h: the same command goes on from that checkpoint by itself.
REQUEUE = 75
# A process that is to end with its parent finds the parent's pid in this variable.
PARENT = 'HSAKD_MM_PARENT'

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_cpu_group: list = []
_limit: list = []  # of this run's collectives
_launcher: list = []  # of this process, once it is known


def limit_collectives(limit: timedelta) -> None:
    """How long a collective of this module waits for another process; torch's default is half an hour."""
    _limit[:] = [limit]


def launched_by(launcher: str) -> None:
    """Say which launcher started this process: ``none``, ``pytorch``, ``slurm`` or ``mpi``."""
    _launcher[:] = [launcher]


def ranks() -> tuple:
    """``(rank, local rank)`` from the environment of torchrun, Slurm or Open MPI, else zeros.

    Works before the process group exists. Once :func:`launched_by` was told which launcher it is, those of Slurm and
    Open MPI count only if it is theirs: the tasks of ``srun`` may be runs of their own. torchrun's always count.
    """
    for launcher, rank, local in (
        ('pytorch', 'RANK', 'LOCAL_RANK'),
        ('slurm', 'SLURM_PROCID', 'SLURM_LOCALID'),
        ('mpi', 'OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK'),
    ):
        if rank in os.environ and (launcher == 'pytorch' or _launcher in ([], [launcher])):
            return int(os.environ[rank]), int(os.environ.get(local, 0))
    return 0, 0


def restarts() -> int:
    """How many times the launcher has started this run's processes again after one of them failed."""
    return int(os.environ.get('TORCHELASTIC_RESTART_COUNT', 0))


def is_restart() -> bool:
    """Whether the launcher, or Slurm, has started this run before."""
    return restarts() > 0 or int(os.environ.get('SLURM_RESTART_COUNT', 0)) > 0


def on_all_ranks(function: Callable, *args):
    """Returns ``function(*args)``; a UserError on any rank is raised on every rank."""
    failure = result = None
    try:
        result = function(*args)
    except UserError as error:
        failure = error
    failures = [each for each in all_gather_object(failure) if each is not None]
    if failures:
        raise failure or failures[0]
    return result


def end_with_parent() -> None:
    """End this process when its parent ends, and what it forks when it ends itself, by SIGKILL, however that is.

    The first only if the parent asked for it by ``HSAKD_MM_PARENT``, its pid, as our launcher does. A parent that is
    already gone ends this process at once. A process that is stopped or hangs ends as well: the kernel
    sends the signal. Where the kernel cannot (not Linux, or a process in between), a thread looks every second.
    """
    parent = int(os.environ.pop(PARENT, 0))  # not for the children of this process: theirs is this one
    _have_children_follow()
    if parent and not _kill_with(parent):
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _kill_with(parent: int) -> bool:
    """Ask the kernel for a SIGKILL at the parent's end; False if this is not Linux or it is not the parent."""
    if sys.platform != 'linux':
        return False
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent:
        return True
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, 0)
    if not alive(parent):
        os._exit(128 + signal.SIGKILL)
    return False


def _watch(parent: int) -> None:
    while alive(parent):
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)


@cache
def _have_children_follow() -> None:
    """A DataLoader's worker looks for its parent every 5 s, and not while it waits for a disk."""
    if sys.platform != 'linux':
        return
    forking: list = []

    def before() -> None:
        # The kernel counts the end of the forking thread as the end of the parent.
        forking[:] = [os.getpid()] if threading.current_thread() is threading.main_thread() else []

    def in_child() -> None:
        if forking:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != forking[0]:
                os._exit(128 + signal.SIGKILL)

    os.register_at_fork(before=before, after_in_child=in_child)


def alive(pid: int) -> bool:
    """Whether a process with this pid is on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on any rank; to be called on all of them.

    Goes over the CPU, so that a GPU that still computes is not waited for.
    """
    if get_world_size() == 1:
        return flag
    if not _cpu_group:
        _cpu_group.append(distributed.new_group(backend='gloo', timeout=_limit[0] if _limit else None))
    flags = torch.tensor([flag], dtype=torch.uint8)
    distributed.all_reduce(flags, distributed.ReduceOp.MAX, group=_cpu_group[0])
    return bool(flags.item())
