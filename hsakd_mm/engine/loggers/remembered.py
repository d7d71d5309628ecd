"""Which run of each logger a work directory belongs to, so that a resumed training goes on with it."""

import os
from contextlib import suppress
from typing import Any

from mmengine.config import Config

from hsakd_mm.files import read_json, write_json

FILE = 'loggers.json'


class OneRun:
    """Mixed into a backend of mmengine's visualizer: one run of the logger for one training, however often it stops.

    The logger's run begins with the training, not when the Runner is built: a start that is refused, or a test, leaves
    none behind. ``loggers.json`` in the work directory remembers it.

    Attributes:
        kind (str): The key in that file.
        title (str): What the logger is called.
        package (str): What has to be installed.
    """

    kind, title, package = '', '', ''
    cfg: Config | None = None
    _runner: Any = None  # of a training

    def add_config(self, config: Config, **kwargs) -> None:
        """Called when the Runner is built; the config is recorded when the run begins."""
        self.cfg = config

    def begin(self, runner) -> None:
        """A training begins, or goes on, after ``runner.iter`` steps."""
        self._runner = runner
        self._init_env()  # type: ignore[attr-defined]
        self._env_initialized = True

    def end(self, state: str) -> None:
        """The training has ended in another way than by its last step: 'preempted', 'killed' or 'failed'."""
        self.close()  # type: ignore[attr-defined]

    @property
    def work_dir(self) -> str:
        """The training's; without a config what the backend was told."""
        return os.path.abspath((self.cfg or {}).get('work_dir') or self._save_dir)  # type: ignore[attr-defined]

    @property
    def run_name(self) -> str:
        return os.path.basename(self.work_dir)

    def remembered(self) -> Any:
        """What :meth:`remember` was given by the training that goes on; None if a new one begins."""
        if not (self._runner and (self.cfg or {}).get('resume')):
            return None
        with suppress(OSError, ValueError):
            return read_json(self.work_dir, FILE).get(self.kind)
        return None

    def remember(self, run: Any) -> None:
        """So that a later start goes on with this run of the logger."""
        if self._runner is None:
            return
        known: dict = {}
        with suppress(OSError, ValueError):
            known = read_json(self.work_dir, FILE)
        write_json(os.path.join(self.work_dir, FILE), {**known, self.kind: run})

    def at_step(self, scalars: dict, step: int, file_path: str | None) -> tuple[dict, int]:
        """What mmengine's LoggerHook logs, with its step.

        It counts the steps of a training in iterations, and those of its validations in epochs. Here both are
        iterations, so that a validation stands beside the training losses of the same moment. The times of a
        validation have the names of those of the training; here they are ``val/time`` and ``val/data_time``.

        Args:
            scalars (dict): By name.
            step (int): As mmengine counts.
            file_path (str): Only LoggerHook gives one: what others log is logged as it is.
        """
        if file_path is None:
            return scalars, step
        if 'iter' in scalars:
            return {name: value for name, value in scalars.items() if name != 'iter'}, int(scalars['iter'])
        named = {f'val/{name}' if name in ('time', 'data_time') else name: value for name, value in scalars.items()}
        return named, step if self._runner is None else self._runner.iter
