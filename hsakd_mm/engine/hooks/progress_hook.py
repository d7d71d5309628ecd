"""Tells a parent process how far a training run is."""

import contextlib
import json
import math
import os
import time

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

from hsakd_mm.errors import UserError
from hsakd_mm.files import write_atomically
from hsakd_mm.registry import HOOKS

VARIABLE = 'HSAKD_MM_PROGRESS'  # environment variable: the file to write


@HOOKS.register_module()
class ProgressHook(Hook):
    """Writes a small JSON file about once a second, for a parent process that shows progress.

    Keys: ``epoch`` and ``epochs`` (counted from 1; absent in a run by iterations), ``iter`` and ``iters``, ``loss``,
    ``seconds_left`` (validations included, as far as some have been seen; None before the first step), ``validated``
    (epoch or iteration of the last validation, None before) and ``result`` (its metrics).

    Args:
        file (str): Replaced as a whole each time.
        interval (float): Seconds between two writes.
    """

    priority = 'VERY_LOW'

    def __init__(self, file: str, interval: float = 1.0) -> None:
        self.file, self.interval = file, interval
        self.validated: int | None = None
        self.result: dict = {}

    def before_train(self, runner) -> None:
        self.first, self.started, self.written = runner.iter, time.monotonic(), -math.inf

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if time.monotonic() - self.written >= self.interval or runner.iter + 1 == runner.max_iters:
            self._write(runner, runner.iter + 1, runner.epoch + 1)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        if not hasattr(self, 'started'):  # a validation without training
            return
        self.validated = runner.epoch or runner.iter
        self.result = {key: float(value) for key, value in (metrics or {}).items() if isinstance(value, int | float)}
        self._write(runner, runner.iter, runner.epoch)  # counted on before it is validated

    def _write(self, runner, done: int, epoch: int) -> None:
        if not is_main_process():
            return
        now = time.monotonic()
        steps = done - self.first  # 0: a run goes on with the validation that it was stopped before
        each = (now - self.started) / steps if steps else None
        content = dict(
            iter=done,
            iters=runner.max_iters,
            seconds_left=None if each is None else each * (runner.max_iters - done),
            loss=_loss(runner),
            validated=self.validated,
            result=self.result,
        )
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            content.update(epoch=epoch, epochs=runner.max_epochs)
        with contextlib.suppress(UserError):  # a full disk does not stop a training for its progress bar
            write_atomically(self.file, lambda file: file.write(json.dumps(content).encode()))
        self.written = now


def _loss(runner) -> float | None:
    """The last step's loss, which FiniteHook has read from a GPU."""
    history = runner.message_hub.log_scalars.get('train/loss')
    return float(history.current()) if history is not None else None


def report_progress(runner) -> None:
    """Register the hook where a parent process asks for it by :data:`VARIABLE`."""
    if file := os.environ.get(VARIABLE):
        runner.register_hook(ProgressHook(file))
