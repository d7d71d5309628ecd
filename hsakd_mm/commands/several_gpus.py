"""``--gpus N``: the same command in N processes, as tools/dist_train.sh starts them."""

import os
import sys

from hsakd_mm.engine import torchrun
from hsakd_mm.experiments.provenance import ROOT, TYPED, typed_command

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
    os.environ[TYPED] = typed_command()
    # The workers' interpreter finds this package, wherever it lies and whatever is installed.
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [ROOT, os.environ.get('PYTHONPATH')]))
    torchrun.main(
        [*options, *processes, '-m', 'hsakd_mm', command, *_without_gpus(sys.argv[1:]), '--launcher', 'pytorch']
    )


def _without_gpus(arguments: list[str]) -> list[str]:
    """The arguments less ``--gpus N``, ``--gpus=N`` and what argparse takes for it."""
    kept, skip = [], False
    for word in arguments:
        if skip:
            skip = False
        elif len(name := word.partition('=')[0]) > 2 and '--gpus'.startswith(name):
            skip = name == word
        else:
            kept.append(word)
    return kept
