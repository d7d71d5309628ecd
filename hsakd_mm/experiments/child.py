"""Runs a tool of ours as a child process that ends when we do."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

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
    told: list = []

    def hand_on(number, frame) -> None:
        told.append(number)
        process.send_signal(number)

    previous = {number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        status = None
        while status is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(timeout=0.5 if progress else None)
            if progress:
                progress.update()
    except KeyboardInterrupt:
        if wait_after_interrupt(process) == 130 and not log:  # the child has said how to go on
            raise SystemExit(130) from None
        raise
    except BaseException:  # such as a closed pipe: the child must not train on alone
        process.terminate()
        process.wait()
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if told:
        raise SystemExit(status if status == REQUEUE else 128 + told[0])
    return status


def _shell_status(status: int) -> int:
    return status if status > 0 else 128 - status


def _tail(log: str, start: int, count: int = 30) -> list:
    """The last lines of a log, from this byte on: what was there before is of an earlier start."""
    with open(log, 'rb') as file:
        file.seek(max(start, os.path.getsize(log) - 20_000))
        return file.read().decode(errors='replace').splitlines()[-count:]
