"""The processes of a distributed run: the rank of this one, and errors that reach all ranks."""

import os
from collections.abc import Callable

import torch
from mmengine.dist import all_gather_object, get_world_size
from torch import distributed

from hsakd_mm.errors import UserError

# Exit status of a run that was told to stop, has written a checkpoint and wants to be started again.
# It is EX_TEMPFAIL of sysexits.h: the same command goes on from that checkpoint by itself.
REQUEUE = 75

_cpu_group: list = []


def ranks() -> tuple:
    """``(rank, local rank)`` from the environment of torchrun, Slurm or Open MPI, else zeros.

    Works before the process group exists.
    """
    for rank, local in (
        ('RANK', 'LOCAL_RANK'),
        ('SLURM_PROCID', 'SLURM_LOCALID'),
        ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK'),
    ):
        if rank in os.environ:
            return int(os.environ[rank]), int(os.environ.get(local, 0))
    return 0, 0


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


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on any rank; to be called on all of them.

    Goes over the CPU, so that a GPU that still computes is not waited for.
    """
    if get_world_size() == 1:
        return flag
    if not _cpu_group:
        _cpu_group.append(distributed.new_group(backend='gloo'))
    flags = torch.tensor([flag], dtype=torch.uint8)
    distributed.all_reduce(flags, distributed.ReduceOp.MAX, group=_cpu_group[0])
    return bool(flags.item())
