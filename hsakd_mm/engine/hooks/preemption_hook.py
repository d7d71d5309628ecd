"""Ends a run that is to make room, at the next step, so that it can go on later."""

import os
import signal
import sys
import threading
from math import ceil

from mmengine.dist import barrier, get_world_size, is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop

from hsakd_mm.engine.forked import prepare_children, starts_image_workers
from hsakd_mm.engine.hooks.exact_checkpoint_hook import ExactCheckpointHook
from hsakd_mm.files import write_json
from hsakd_mm.processes import REQUEUE, any_rank
from hsakd_mm.registry import HOOKS

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
MARK = 'preempted.json'  # in the work directory: the run was stopped, and the same command goes on

_received: list[int] = []


def listen() -> None:
    """From now on a SIGTERM or SIGUSR1 asks the run to end at its next step, and does not end the process.

    Python sets handlers in the main thread only; a run in another one, as of a server, is not asked.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: _received.append(number))
    prepare_children(SIGNALS)


def was_preempted(work_dir: str) -> bool:
    """Whether the last run in this folder was stopped by such a signal, and is to go on."""
    return os.path.isfile(os.path.join(work_dir, MARK))


@HOOKS.register_module()
class PreemptionHook(Hook):
    """After SIGTERM or SIGUSR1 on any rank, all ranks end after the same step, with a checkpoint of that step.

    Slurm sends SIGTERM when a job is cancelled, pre-empted or out of time, and another signal earlier if asked to
    (``--signal=USR1@120``). The exit status is then 75, and ``preempted.json`` in the work directory has the next
    start of the same command go on. A validation that is cut off is made up by the resumed run.

    Slurm's SIGTERM goes to every process of the job; :mod:`hsakd_mm.engine.forked` says what the others do.

    Needs :class:`.ExactCheckpointHook`; ``tools/train.py`` adds both to every config.
    """

    priority = 'LOWEST'  # all else of a step has been done when it is saved

    def before_run(self, runner: Runner) -> None:
        listen()

    def before_train(self, runner: Runner) -> None:
        mark = os.path.join(runner.work_dir, MARK)
        if is_main_process() and os.path.isfile(mark):
            os.remove(mark)

    def before_train_epoch(self, runner: Runner) -> None:
        starts_image_workers(True)  # the loop does next

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        starts_image_workers(False)

    def after_train_epoch(self, runner: Runner) -> None:
        starts_image_workers(False)  # of an epoch without a step

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if any_rank(bool(_received)):
            self._stop(runner, runner.epoch, runner.iter + 1)  # the step is counted after its hooks

    def before_val_epoch(self, runner: Runner) -> None:
        self.before_train_epoch(runner)

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        self.before_train_iter(runner, batch_idx, data_batch)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if not isinstance(runner._train_loop, BaseLoop) or not runner.iter:
            return  # a validation by itself
        loop = runner.val_loop.dataloader
        # Ranks may have one batch more or less: they can agree on those that all have.
        common = ceil(len(loop.dataset) // get_world_size() / (loop.batch_size or loop.batch_sampler.batch_size))
        if batch_idx < common and any_rank(bool(_received)):
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):  # for the validation it swapped the trained weights for its own
                    hook._swap_ema_parameters()
            self._stop(runner, runner.epoch, runner.iter)

    def _stop(self, runner: Runner, epoch: int, step: int) -> None:
        path = 'no checkpoint, as there is no ExactCheckpointHook'
        for hook in runner.hooks:
            if isinstance(hook, ExactCheckpointHook):
                path = hook.save_interim(runner, epoch, step)
        if is_main_process():
            names = ', '.join(sorted({signal.Signals(number).name for number in _received})) or 'a signal'
            write_json(os.path.join(runner.work_dir, MARK), dict(step=step, checkpoint=path))
            command = 'The same command' + (' without --overwrite' if '--overwrite' in sys.argv else '')
            runner.logger.info(
                f'Stopped by {names} after step {step} of {runner.max_iters}: {path}. {command} goes on from there '
                f'(exit status {REQUEUE}).'
            )
        barrier()  # once one task has ended, srun ends the others
        raise SystemExit(REQUEUE)
