"""Ends the quiet start of a run, begins its loggers, and says how long the run will take as soon as that is known."""

import time
from datetime import timedelta

from mmengine.hooks import Hook

from hsakd_mm.engine.first_screen import say_cost
from hsakd_mm.engine.loggers.run import begin_loggers
from hsakd_mm.engine.quiet import end_start
from hsakd_mm.registry import HOOKS

FIRST, LAST = 3, 13  # steps of a start between which the time of one is measured: the first ones take longer


@HOOKS.register_module()
class StartHook(Hook):
    """Begins TensorBoard, W&B and MLflow where they were asked for, and says after a few steps when it will
    end.

    From then on the logger's lines say so (``eta``).

    The validations are not in it: how long one takes is not known before the first.
    """

    priority = 'VERY_LOW'

    def before_train(self, runner) -> None:
        say_cost(runner)
        begin_loggers(runner)
        self.first = runner.iter
        end_start(runner.logger)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        done = runner.iter + 1 - self.first
        if done == FIRST:
            self.since = time.monotonic()
        elif done == LAST:
            each = (time.monotonic() - self.since) / (LAST - FIRST)
            left = timedelta(seconds=round(each * (runner.max_iters - runner.iter - 1)))
            runner.logger.info(f'{each:.3g} s a step: about {left} left, validation not counted.')
