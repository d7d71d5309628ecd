"""Which process of a run this is, also before the process group exists."""
import os


def ranks() -> tuple:
    """``(rank, local rank)`` of this process as torchrun, Slurm or Open MPI tell it, else zeros."""
    for rank, local in (('RANK', 'LOCAL_RANK'), ('SLURM_PROCID', 'SLURM_LOCALID'),
                        ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK')):
        if rank in os.environ:
            return int(os.environ[rank]), int(os.environ.get(local, 0))
    return 0, 0
