"""Runs a tool of ours as a child process that ends when we do."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence

from hsakd_mm.engine.hooks.progress_hook import VARIABLE
from hsakd_mm.engine.launch import wait_after_interrupt
from hsakd_mm.processes import PARENT, REQUEUE

from .progress import ChildProgress

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Beside the package in a checkout, inside it where it was installed from a wheel.
TOOLS = next(
    folder
    for folder in (os.path.join(os.path.dirname(PACKAGE), 'tools'), os.path.join(PACKAGE, '.mim', 'tools'))
    if os.path.isfile(os.path.join(folder, 'train.py'))
)


_running: list[subprocess.Popen] = []
_sent: list[int] = []  # signals for all children, also for one that is being started
_turn = threading.RLock()


class Told(list):
    """The signals that this process got while children ran."""

    def status(self, of_children: Sequence[int]) -> int:
        """The exit status that answers them: a child that wants to be started again decides for all."""
        return REQUEUE if REQUEUE in of_children else 128 + self[0]

    def say(self) -> None:
        """What children with a log say there about going on is not on the terminal."""
        print(f'stopped by {signal.Signals(self[0]).name}: the same command goes on.', file=sys.stderr, flush=True)


@contextlib.contextmanager
def signals_to_all() -> Iterator[Told]:
    """Hand SIGTERM and SIGUSR1 on to all running children; only in the main thread."""
    told = Told()

    def hand_on(number, frame) -> None:
        told.append(number)
        end_all(number)

    previous = {number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGUSR1)}
    _sent.clear()
    try:
        yield told
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def end_all(number: int) -> None:
    """Send a signal to all running children."""
    _sent.append(number)
    for process in list(_running):
        process.send_signal(number)


@contextlib.contextmanager
def in_turn() -> Iterator[None]:
    """One thread at a time works in this process."""
    with _turn:
        yield


@contextlib.contextmanager
def out_of_turn() -> Iterator[None]:
    """Let other threads work, inside :func:`in_turn`."""
    _turn.release()
    try:
        yield
    finally:
        _turn.acquire()


class RunFailed(Exception):
    """A run of a list failed; the others go on.

    Args:
        reason (str): What its process said last.
        status (int): Its exit status.
        log (str): The file with all that it printed.
    """

    def __init__(self, reason: str, status: int = 2, log: str = '') -> None:
        super().__init__(reason)
        self.reason, self.status, self.log = reason, status, log


def tool(name: str) -> str:
    """The path of a tool, as a user types it: relative where it is below or beside the current folder."""
    return os.path.relpath(os.path.join(TOOLS, name))


def run_child(command: Sequence[str], title: str = '', log: str = '') -> None:
    """Run a child that gets our SIGTERM and SIGUSR1, ends when we do, and the time to end by itself on Ctrl-C.

    Args:
        command (list[str]): What to run.
        title (str): What the progress bar calls it.
        log (str): Append what the child prints to this file and show a progress bar; without one the child prints
            to the terminal.

    Raises:
        SystemExit: The child that prints to the terminal failed (its status is handed on), or we were told to stop.
        RunFailed: The child with a log failed.
    """
    path = os.pathsep.join(filter(None, [os.path.dirname(PACKAGE), os.environ.get('PYTHONPATH')]))
    env = {**os.environ, 'PYTHONPATH': path, 'PYTHON': sys.executable, PARENT: str(os.getpid())}
    before = os.path.getsize(log) if log and os.path.isfile(log) else 0
    status = _logged(command, env, title, log) if log else _watch(subprocess.Popen(command, env=env), log)
    if status and not log:
        raise SystemExit(_shell_status(status))
    if status:
        lines = _tail(log, before)
        said = [line.removeprefix('error: ') for line in lines if line.startswith('error: ')]
        if not said and status < 0:
            hint = ', as when memory runs out' if -status == signal.SIGKILL else ''
            said = [f'it was ended by {signal.Signals(-status).name}{hint}']
        raise RunFailed(said[-1] if said else ' / '.join(lines[-8:]), _shell_status(status), log)


def _logged(command: Sequence[str], env: dict, title: str, log: str) -> int:
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, open(log, 'ab') as out:
        env = {**env, VARIABLE: os.path.join(folder, 'progress.json'), 'PYTHONUNBUFFERED': '1'}
        process = subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.STDOUT)
        with ChildProgress(title, env[VARIABLE]) as progress:
            return _watch(process, log, progress)


def _watch(process: subprocess.Popen, log: str, progress: ChildProgress | None = None) -> int:
    """Wait for the child and return its status, as Popen has it."""
    _running.append(process)
    try:
        if threading.current_thread() is not threading.main_thread():  # which hands signals on
            for number in list(_sent):
                process.send_signal(number)
            with out_of_turn():
                return _wait(process, progress)
        with signals_to_all() as told:
            status = _wait(process, progress)
    except KeyboardInterrupt:
        if wait_after_interrupt(process) == 130 and not log:  # the child has said how to go on
            raise SystemExit(130) from None
        raise
    except BaseException:  # such as a closed pipe: the child must not train on alone
        process.terminate()
        process.wait()
        raise
    finally:
        _running.remove(process)
    if told:
        if log:
            told.say()
        raise SystemExit(told.status([status]))
    return status


def _wait(process: subprocess.Popen, progress: ChildProgress | None) -> int:
    status = None
    while status is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = process.wait(timeout=0.5 if progress else None)
        if progress:
            progress.update()
    return status


def _shell_status(status: int) -> int:
    return status if status > 0 else 128 - status


def _tail(log: str, start: int, count: int = 30) -> list:
    """The last lines of a log, from this byte on: what was there before is of an earlier start."""
    with open(log, 'rb') as file:
        file.seek(max(start, os.path.getsize(log) - 20_000))
        return file.read().decode(errors='replace').splitlines()[-count:]
