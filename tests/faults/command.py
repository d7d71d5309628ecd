"""Training the tiny model by command: in one process, in two, or on two nodes, which are two launchers here."""

import os
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from hsakd_mm.checkpoints.work_dir import last_checkpoint
from tests.faults.jobs import free_port, job
from tests.tools.commands import ROOT, TINY
from tests.tools.prestarted import prestarted

ONE, TWO, NODES = 'one process', 'two processes', 'two nodes'


def train_command(where: str, *options: str, **changes: str) -> list:
    """The words of the command, the same on both nodes.

    Args:
        where (str): ``ONE``, ``TWO`` or ``NODES``.
        options: Of tools/train.py; the work directory is ``run``.
        changes: Of the config, with ``__`` for dots.
    """
    cfg = [f'{key.replace("__", ".")}={value}' for key, value in changes.items()]
    words = [*options, '--work-dir', 'run', *(['--cfg-options', *cfg] if cfg else [])]
    if where == ONE:
        return [prestarted(), ROOT / 'tools/train.py', TINY, *words]
    return ['bash', ROOT / 'tools/dist_train.sh', TINY, 1 if where == NODES else 2, *words]


@contextmanager
def training(folder: Path, where: str, *options: str, **changes: str):
    """The running commands, in ``folder``: one, or with two nodes two."""
    nodes = [dict(NNODES=2, NODE_RANK=rank, MASTER_ADDR='127.0.0.2') for rank in (0, 1)] if where == NODES else [{}]
    common = dict(PORT=free_port(), PYTHON=prestarted())
    with ExitStack() as stack:
        words = train_command(where, *options, **changes)
        yield [stack.enter_context(job(*words, cwd=folder, **common, **node)) for node in nodes]


def ended(processes: list) -> tuple[list, str]:
    """Statuses, and all output, of the commands when they have ended."""
    outputs = [process.communicate(timeout=90)[0] for process in processes]
    return [process.returncode for process in processes], ''.join(outputs)


def run_to_end(folder: Path, where: str, *options: str, **changes) -> tuple[int, str]:
    """Status and output of a command that runs to its end."""
    folder.mkdir(exist_ok=True)
    with training(folder, where, *options, **changes) as processes:
        statuses, output = ended(processes)
    assert len(set(statuses)) == 1, output
    return statuses[0], output


def weights(folder: Path) -> dict:
    """Those of the last checkpoint of a run."""
    return torch.load(last_checkpoint(os.path.join(folder, 'run')), weights_only=False)['state_dict']
