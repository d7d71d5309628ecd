"""A run that is resumed after its last epoch."""

from mmengine.runner import Runner


def train(runner: Runner, checkpoint: dict | None) -> None:
    """``runner.train()``; where no epoch is left to train, the last one is validated.

    mmengine writes an epoch's checkpoint before it validates that epoch. A run that was stopped in
    between would, resumed, end without ever having measured what it trained.

    Args:
        runner (Runner): Not trained yet.
        checkpoint (dict): What it resumes from, if it does.
    """
    runner.train()
    if checkpoint is None or runner.val_loop is None or runner.max_epochs is None:
        return
    if checkpoint.get('meta', {}).get('epoch', 0) >= runner.max_epochs:
        runner.logger.info('No epoch was left to train: validating the last one.')
        runner.val()
