"""``--gpus N``: the same command in N processes, as tools/dist_train.sh starts them."""

import os
import sys

from hsakd_mm.engine import torchrun

GPUS = (
    'in so many processes, a GPU each; without GPUs on the CPU. Several nodes: NNODES, NODE_RANK, MASTER_ADDR and PORT '
    'in the environment of each'
)


def start(command: str, gpus: int) -> None:
    """Run ``hsakd-mm COMMAND`` with this process's arguments under torchrun; raises SystemExit with its status."""
    environment = [
        ('--nnodes', 'NNODES', '1'),
        ('--node-rank', 'NODE_RANK', '0'),
        ('--master-addr', 'MASTER_ADDR', '127.0.0.1'),
        ('--master-port', 'PORT', '29500'),
    ]
    options = [word for option, name, default in environment for word in (option, os.environ.get(name, default))]
    processes = ['--nproc-per-node', str(gpus)]
    torchrun.main(
        [*options, *processes, '-m', 'hsakd_mm', command, *_without_gpus(sys.argv[1:]), '--launcher', 'pytorch']
    )


def _without_gpus(arguments: list[str]) -> list[str]:
    """The arguments less ``--gpus N``, ``--gpus=N`` and what argparse takes for it."""
    kept, skip = [], False
    for word in arguments:
        if skip:
            skip = False
        elif len(word) > 3 and '--gpus'.startswith(word):
            skip = True
        elif not word.startswith('--gpus='):
            kept.append(word)
    return kept
