"""Training, with the checks that every run gets."""

from mmengine.runner import Runner

from hsakd_mm.engine.hooks.broken_image_hook import BrokenImageHook
from hsakd_mm.engine.hooks.finite_hook import FiniteHook
from hsakd_mm.engine.hooks.loop_check_hook import LoopCheckHook, check_loops
from hsakd_mm.engine.hooks.run_identity_hook import RunIdentityHook


def train(runner: Runner) -> None:
    """Run ``runner.train()``.

    Args:
        runner (Runner): Not trained yet.
    """
    for kind in (LoopCheckHook, RunIdentityHook, FiniteHook, BrokenImageHook):
        if not any(isinstance(hook, kind) for hook in runner.hooks):  # an MMDetection config
            runner.register_hook(kind())
    assert runner.train_loop is not None  # builds it: schedulers of an epoch without steps fail before any hook
    check_loops(runner)
    runner.train()
