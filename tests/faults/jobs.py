"""Starting jobs of several processes, and looking at what is left of them."""

import os
import select
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from tests.tools.commands import ROOT, TINY, environment
from tests.tools.prestarted import prestarted

WORKER = Path(__file__).parent / 'worker.py'


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('', 0))
        return probe.getsockname()[1]


@contextmanager
def job(*command, cwd, **env):
    """A process whose output is text on one pipe; killed at the end if it still runs. Its interpreter is a real one."""
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(**{'PYTHON': sys.executable, **env}),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)  # a process that was left behind holds the pipe


def launcher(folder: Path, processes: int = 2, **env):
    """torchrun of ours with :mod:`tests.faults.worker`; ``PYTHON=sys.executable`` where it matters who started whom."""
    env.setdefault('PYTHON', prestarted())
    port = env.pop('PORT', None) or free_port()
    nodes = env.pop('NODES', ())
    command = ('-m', 'hsakd_mm.engine.torchrun', '--master-port', port, '--nproc-per-node', processes, *nodes)
    return job(env['PYTHON'], *command, WORKER, folder, cwd=folder, **env)


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


def announced(process, word: str, count: int = 2) -> list[list[str]]:
    """The first ``count`` lines of a job's output that workers began with ``word``, as words, in order of rank."""
    found, others = [], []
    for each in process.stdout:
        (found if each.startswith(f'{word} ') else others).append(each.split())
        if len(found) == count:
            break
    assert len(found) == count, others
    return sorted(found, key=lambda words: int(words[1]))


def started(process, count: int = 2, restarts: int = 0) -> list[int]:
    """The workers' pids, once all have started."""
    lines = announced(process, 'started', count)
    assert {int(words[2]) for words in lines} == {restarts}, lines
    return [int(words[3]) for words in lines]


@contextmanager
def gate_opened(folder: Path):
    """While the FIFO ``gate`` is open for writing, whoever opens it to read goes on, now or later."""
    gate = os.open(folder / 'gate', os.O_RDWR)  # does not wait for a reader
    try:
        yield
    finally:
        os.close(gate)


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
    """Whether all of these end within a time; zombies have."""
    end = time.monotonic() + seconds
    for pid in pids:
        try:
            watched = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if not select.select([watched], [], [], max(0, end - time.monotonic()))[0]:
                return False
        finally:
            os.close(watched)
    return True


def line(process, text: str) -> str:
    """The output up to the line that holds ``text``."""
    read = []
    for each in process.stdout:
        read.append(each)
        if text in each:
            return ''.join(read)
    raise AssertionError(''.join(read))
