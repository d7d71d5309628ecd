"""The processes of a distributed run: the rank of this one, and errors that reach all ranks."""

import os
from collections.abc import Callable

from mmengine.dist import all_gather_object

from hsakd_mm.errors import UserError


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
