"""Runs a tool of ours as a child process that ends when we do."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from hsakd_mm.engine.launch import wait_after_interrupt
from hsakd_mm.experiments.progress import follow


def run_child(command: Sequence[str], tools: str, title: str = '', log: str = '') -> int:
    """Run a child that dies with us, and that is given the time to end by itself on Ctrl-C.

    Args:
        command (list[str]): What to run.
        tools (str): Folder of the tools; the package is beside it.
        title (str): What the line of progress calls it.
        log (str): Append what the child prints to this file, and show a line of progress and, if
            it fails, what it said last; without one it prints to the terminal.

    Returns:
        int: Its exit status.
    """
    path = os.pathsep.join(filter(None, [os.path.dirname(tools), os.environ.get('PYTHONPATH')]))
    output = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace') if log else {}
    process = subprocess.Popen(command, **output, env={**os.environ, 'PYTHONPATH': path, 'PYTHON': sys.executable})

    def hand_on(number, frame):
        process.send_signal(number)

    previous = signal.signal(signal.SIGTERM, hand_on)
    try:
        return _follow(process, title, log) if log else process.wait()
    except KeyboardInterrupt:
        if wait_after_interrupt(process) == 130 and not log:  # the child has said how to go on
            raise SystemExit(130) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)


def exit_unless_zero(status: int) -> None:
    """Hand a child's exit status on, if it failed."""
    if status:
        raise SystemExit(status if status > 0 else 128 - status)


def _follow(process: subprocess.Popen, title: str, log: str) -> int:
    tail = follow(process, title, log)
    status = process.wait()
    if status:
        said = [line for line in tail if line.startswith('error: ')] or tail[-8:]
        print('\n'.join([*said, f'{title} failed with status {status}; its log: {log}']), file=sys.stderr, flush=True)
    return status
