"""Where the processes of a run hand over what a metric saw."""

import os

from mmengine.hooks import Hook

from hsakd_mm.registry import HOOKS


@HOOKS.register_module()
class CollectHook(Hook):
    """Has each metric collect the results of all processes in the work directory.

    mmengine's place for them is ``.dist_test`` in the current folder, which need not be one to write into, and which it
    leaves there. The folder here is removed after each collection. ``prepare_launcher`` adds the hook to a run of
    several processes; a metric that has a ``collect_dir``, or collects on the GPU, keeps to it.
    """

    def before_val(self, runner) -> None:
        self._set(runner.val_loop.evaluator, runner.work_dir)

    def before_test(self, runner) -> None:
        self._set(runner.test_loop.evaluator, runner.work_dir)

    @staticmethod
    def _set(evaluator, work_dir: str) -> None:
        for metric in evaluator.metrics:
            if metric.collect_device == 'cpu' and metric.collect_dir is None:
                metric.collect_dir = os.path.join(work_dir, '.collect')
