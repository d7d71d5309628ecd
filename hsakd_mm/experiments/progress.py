"""Runs a stage as a process: its whole output to a log file, one line of progress to the terminal.

The line is read off mmengine's own log, which tells epoch, loss and time left.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence

from hsakd_mm.engine.launch import wait_after_interrupt
from hsakd_mm.errors import UserError

_TRAIN = re.compile(
    r'Epoch\(train\)\s+\[\s*(\d+)\]\[\s*(\d+)/\s*(\d+)\].*?eta: ([\w:, ]+?)  '
    r'.*?\bloss: ([\d.]+|nan)'
)
_RESULT = re.compile(r'Epoch\((?:val|test)\)\s+\[[^\]]*\]\[\d+/\d+\]\s+(?!eta)(\S.*?)\s+data_time')


class ProgressLine:
    """A terminal's last line, rewritten; without a terminal a new line where an epoch ended."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.live = sys.stdout.isatty()
        self.result = self.left = ''

    def read(self, line: str) -> None:
        if match := _TRAIN.search(line):
            epoch, step, steps, left, loss = match.groups()
            self.left = f'{left.strip()} left'
            self.show(f'epoch {epoch} {int(step):>3}/{steps}  loss {loss}  {self.left}  {self.result}', new=False)
        elif match := _RESULT.search(line):
            self.result = ' '.join(match[1].split()[:4])
            self.show(f'{self.left}  {self.result}'.strip(), new=True)

    def show(self, text: str, new: bool) -> None:
        text = f'  {self.title}: {text}'
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            sys.stdout.write(f'\r\033[K{text[:width]}')
        elif new:
            sys.stdout.write(f'{text}\n')
        sys.stdout.flush()

    def close(self) -> None:
        if self.live:
            sys.stdout.write('\r\033[K')
            sys.stdout.flush()


def run_logged(title: str, command: Sequence[str], log: str) -> None:
    """Run ``command``, append what it prints to ``log``, show where it is.

    Raises:
        UserError: It failed; what it said last is quoted.
        KeyboardInterrupt: Ctrl-C; the process has been given the time to end by itself.
    """
    os.makedirs(os.path.dirname(log), exist_ok=True)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace')
    try:
        tail = follow(process, title, log)
        status = process.wait()
    except KeyboardInterrupt:
        wait_after_interrupt(process)
        raise
    if status:
        said = [line for line in tail if line.startswith('error: ')]
        reason = said[-1].removeprefix('error: ') if said else '\n'.join(['', *tail[-8:]])
        raise UserError(f'{title} failed with status {status} (log: {log}): {reason}')


def follow(process: subprocess.Popen, title: str, log: str) -> list:
    """Append what a process prints to a file, show where it is, and return its last 30 lines."""
    progress, tail = ProgressLine(title), []
    try:
        with open(log, 'a') as file:
            for line in process.stdout:
                file.write(line)
                file.flush()
                tail = [*tail[-29:], line.rstrip()]
                progress.read(line)
    finally:
        progress.close()
    return tail
