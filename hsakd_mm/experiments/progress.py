"""Shows how far a child process is: a bar on a terminal, a line for each validation elsewhere."""

import json
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

_bars: list[Progress] = []


class ChildProgress:
    """Shows what a child's :class:`~hsakd_mm.engine.hooks.ProgressHook` writes; a context manager.

    Args:
        title (str): Stands first in each line.
        file (str): The hook's file. Without it (the child does not train) only the time is shown.
    """

    def __init__(self, title: str, file: str) -> None:
        self.title, self.file = title, file
        self.printed = None
        self.console = Console(highlight=False)

    def __enter__(self) -> 'ChildProgress':
        if self.console.is_terminal:
            self.bar = _open_bars(self.console)
            self.task = self.bar.add_task(self.title, total=None, state='')
        return self

    def __exit__(self, *_) -> None:
        if self.console.is_terminal:
            self.bar.remove_task(self.task)
            if not self.bar.tasks:
                self.bar.stop()
                _bars.clear()

    def update(self) -> None:
        """Read the file again and show what is new."""
        try:
            with open(self.file) as file:
                told = json.load(file)
        except (OSError, ValueError):  # nothing was written yet
            return
        if self.console.is_terminal:
            self.bar.update(self.task, completed=told['iter'], total=told['iters'], state=_state(told))
        elif told['validated'] != self.printed:
            self.printed = told['validated']
            print(f'  {self.title}: {_state(told)}', flush=True)


def _open_bars(console: Console) -> Progress:
    """The bars of all children that run at a time: a terminal shows one such display."""
    if not _bars:
        columns = (TextColumn('  {task.description}'), BarColumn(24), TextColumn('{task.fields[state]}'))
        _bars.append(Progress(*columns, TimeElapsedColumn(), console=console, transient=True))
        _bars[0].start()
    return _bars[0]


def _state(told: dict) -> str:
    where = f'epoch {told["epoch"]}/{told["epochs"]}' if 'epoch' in told else f'step {told["iter"]}/{told["iters"]}'
    loss = '' if told['loss'] is None else f'loss {told["loss"]:.4g}'
    seconds = told['seconds_left']
    left = '' if seconds is None else f'{timedelta(seconds=round(seconds))} left'
    result = ' '.join(f'{key} {value:.4g}' for key, value in list(told['result'].items())[:2])
    return '  '.join(filter(None, [where, loss, left, result]))
