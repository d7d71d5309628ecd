"""Starting jobs of several processes and looking at what is left of them."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.tools.commands import ROOT, TINY, environment

WORKER = Path(__file__).parent / 'worker.py'


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('', 0))
        return probe.getsockname()[1]


@contextmanager
def job(*command, cwd, **env):
    """A process whose output is text on one pipe; killed at the end if it still runs."""
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(**env),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def launcher(folder: Path, processes: int = 2, **env):
    """torchrun of ours with :mod:`tests.faults.worker`."""
    port = env.pop('PORT', None) or free_port()
    nodes = env.pop('NODES', ())
    command = ('-m', 'hsakd_mm.engine.torchrun', '--master-port', port, '--nproc-per-node', processes, *nodes)
    return job(sys.executable, *command, WORKER, folder, cwd=folder, **env)


def train(folder: Path, *options, port: int | None = None, **env):
    """Two processes of tools/train.py with the tiny config, whose ``gate`` each meets in epoch 3 of 3."""
    command = (
        'bash',
        ROOT / 'tools/dist_train.sh',
        TINY,
        2,
        '--work-dir',
        'run',
        '--cfg-options',
        'train_cfg.max_epochs=3',
        *options,
    )
    return job(*command, cwd=folder, PORT=port or free_port(), **env)


def wait_for(condition, process, seconds: float = 60):
    """``condition()`` as soon as it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, 'it did not happen'
        time.sleep(0.05)
    return found


def opened(gate: Path):
    """The gate, for writing, once somebody reads it."""
    with suppress(OSError):
        return open(os.open(gate, os.O_WRONLY | os.O_NONBLOCK), 'w')
    return None


def started(folder: Path, ranks=(0, 1), restarts: int = 0) -> list:
    """The workers' pids, or an empty list if not all have started."""
    files = [folder / f'started.{rank}.{restarts}' for rank in ranks]
    return [int(file.read_text()) for file in files] if all(file.exists() for file in files) else []


def descendants(pid: int) -> set:
    """Pids of all processes below this one."""
    parents: dict = {}
    for folder in Path('/proc').iterdir():
        if folder.name.isdecimal():
            try:
                parents[int(folder.name)] = int((folder / 'stat').read_text().rpartition(')')[2].split()[1])
            except OSError:
                continue
    found, more = set(), {pid}
    while more:
        more = {each for each, parent in parents.items() if parent in more} - found
        found |= more
    return found


def gone(pids, seconds: float = 10) -> bool:
    """Whether all of these end; zombies have."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(_runs(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _runs(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] not in 'ZX'
    except OSError:
        return False


def line(process, text: str) -> str:
    """The output up to the line that holds ``text``."""
    read = []
    for each in process.stdout:
        read.append(each)
        if text in each:
            return ''.join(read)
    raise AssertionError(''.join(read))
