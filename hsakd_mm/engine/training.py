"""Training, including a run that is resumed after its last epoch."""

from mmengine.runner import Runner

from hsakd_mm.engine.hooks.loop_check_hook import LoopCheckHook, check_loops
from hsakd_mm.engine.hooks.run_identity_hook import RunIdentityHook


def train(runner: Runner, checkpoint: dict | None) -> None:
    """Run ``runner.train()``; if no epoch is left to train, validate the last one.

    mmengine writes the checkpoint of an epoch before it validates that epoch. A run that was stopped in
    between and is resumed would otherwise end without a validation.

    Args:
        runner (Runner): Not trained yet.
        checkpoint (dict): The checkpoint that it resumes from, or None.
    """
    if not any(isinstance(hook, LoopCheckHook) for hook in runner.hooks):  # an MMDetection config
        runner.register_hook(LoopCheckHook())
    if not any(isinstance(hook, RunIdentityHook) for hook in runner.hooks):
        runner.register_hook(RunIdentityHook())
    assert runner.train_loop is not None  # builds it: schedulers of an epoch without steps fail before any hook
    check_loops(runner)
    runner.train()
    if checkpoint is None or runner.val_loop is None or runner.max_epochs is None:
        return
    if checkpoint.get('meta', {}).get('epoch', 0) >= runner.max_epochs:
        runner.logger.info('No epoch was left to train: validating the last one.')
        runner.val()
