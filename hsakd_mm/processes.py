"""The processes of a run: which this is, and how all learn of one's mistake."""

import os
from collections.abc import Callable

from mmengine.dist import all_gather_object

from hsakd_mm.errors import UserError


def ranks() -> tuple:
    """``(rank, local rank)`` as torchrun, Slurm or Open MPI tell them, else zeros.

    Known before the process group exists.
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
    """``function(*args)``, if it succeeded on every rank; else its UserError, raised on each."""
    failure = result = None
    try:
        result = function(*args)
    except UserError as error:
        failure = error
    failures = [each for each in all_gather_object(failure) if each is not None]
    if failures:
        raise failure or failures[0]
    return result
