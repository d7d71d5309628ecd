"""Training, with the checks that every run gets."""

from mmengine.runner import Runner

from hsakd_mm.engine.cpu_memory import keep_freed_memory
from hsakd_mm.engine.first_screen import say_first_screen
from hsakd_mm.engine.hooks.broken_image_hook import BrokenImageHook
from hsakd_mm.engine.hooks.finite_hook import FiniteHook
from hsakd_mm.engine.hooks.loop_check_hook import LoopCheckHook, check_loops
from hsakd_mm.engine.hooks.run_identity_hook import RunIdentityHook
from hsakd_mm.engine.hooks.start_hook import StartHook
from hsakd_mm.engine.loggers.run import loggers_that_see_the_end
from hsakd_mm.engine.quiet import prints_into_log
from hsakd_mm.engine.small_maps import use_matrix_products
from hsakd_mm.models.distillers.base import BaseDistiller
from hsakd_mm.models.unwrapped import unwrapped


def train(runner: Runner) -> None:
    """Run ``runner.train()``.

    Args:
        runner (Runner): Not trained yet.
    """
    for kind in (LoopCheckHook, RunIdentityHook, FiniteHook, BrokenImageHook, StartHook):
        if not any(isinstance(hook, kind) for hook in runner.hooks):  # an MMDetection config
            runner.register_hook(kind())
    with prints_into_log(runner.logger):
        assert runner.train_loop is not None  # builds it: schedulers of an epoch without steps fail before any hook
        assert runner.val_loop is runner.val_loop  # builds it, if there is one
    check_loops(runner)
    say_first_screen(runner)
    keep_freed_memory(runner.model)
    if isinstance(model := unwrapped(runner.model), BaseDistiller):
        use_matrix_products(model)
    with loggers_that_see_the_end(runner):
        runner.train()
