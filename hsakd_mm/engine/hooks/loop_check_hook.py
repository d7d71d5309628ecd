"""Rejects loops that take no step: nothing is saved or reported that was not trained or measured."""

import copy

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.hooks import Hook

from hsakd_mm.datasets.same_classes import folder_of
from hsakd_mm.engine.labels_check import check_labels
from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.base import BaseDistiller
from hsakd_mm.models.unwrapped import unwrapped
from hsakd_mm.randomness import isolated_rng
from hsakd_mm.registry import HOOKS


@HOOKS.register_module()
class LoopCheckHook(Hook):
    """Checks before a run that its loops have batches, with labels where they are read, and before a checkpoint that a
    step was taken.

    Raises:
        UserError: A data loader gives no batch, the run has 0 epochs or iterations, or the last batch of an epoch is a
            single image on which a BatchNorm layer of the model cannot be trained; or images lack the labels that the
            method or a metric reads.
    """

    def before_run(self, runner) -> None:
        check_loops(runner)
        check_labels(runner)

    def before_train(self, runner) -> None:
        check_last_batch(runner)  # after DistillationHook, which attaches the teacher

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        # In the hooks of a step runner.iter does not count that step yet; what is saved then does.
        if checkpoint.get('meta', {}).get('iter', runner.iter) == 0:
            raise UserError(
                f'a checkpoint of a trained model was to be saved in {runner.work_dir}, and no step was taken: check '
                f'train_cfg and train_dataloader; nothing was saved.'
            )


def check_loops(runner) -> None:
    """Check the loops that are built; see :class:`LoopCheckHook`."""
    loop = runner._train_loop
    for name, length in (('epochs', getattr(loop, 'max_epochs', None)), ('iters', getattr(loop, 'max_iters', None))):
        if length == 0 and len(loop.dataloader):
            raise UserError(
                f'a run should take at least one step, and train_cfg.max_{name} is 0: set the length of the training.'
            )
    for part, each in (('train', loop), ('val', runner._val_loop), ('test', runner._test_loop)):
        dataloader = getattr(each, 'dataloader', None)
        if dataloader is not None and hasattr(dataloader, '__len__') and len(dataloader) == 0:
            raise _no_batch(part, dataloader)


def _no_batch(part: str, dataloader) -> UserError:
    dataset, processes = dataloader.dataset, get_world_size()
    batch = getattr(dataloader.batch_sampler, 'batch_size', None)
    folder = folder_of(dataset)
    where = f'the {part} data{f" in {folder}" if folder else ""}'
    share = len(dataset) // processes
    if share == 0:
        lacking = f'has {len(dataset)} images for {processes} processes' if len(dataset) else 'has no image'
        return UserError(
            f'at least one batch was expected of {where}, which {lacking}: correct {part}_dataloader.dataset (its '
            f'folder or ann_file, and what filter_cfg, indices or fraction leave of it).'
        )
    of_each = f', {share} for each of {processes} processes,' if processes > 1 else ''
    return UserError(
        f'at least one batch was expected of {where}, whose {len(dataset)} images{of_each} do not fill one of '
        f'{batch or "the sampler"}: set {part}_dataloader.batch_size={share} or less, or '
        f'{part}_dataloader.drop_last=False.'
    )


def check_last_batch(runner) -> None:
    """Check that a last batch of one image can be trained on.

    A BatchNorm layer cannot, if its maps have 1 x 1 pixel: torch would stop at the end of the first epoch. Methods
    that see several views of an image can, so a step is tried on a copy of the model.
    """
    model = unwrapped(runner.model)
    dataloader = runner.train_dataloader
    if not isinstance(model, BaseDistiller) or _last_batch(dataloader) != 1:
        return
    with isolated_rng('last batch'), torch.no_grad():
        trial = copy.deepcopy(model).train()
        trial.targets = None  # of cached crops, which are kept by the place of an image in the epoch
        try:
            batch = trial.data_preprocessor(dataloader.collate_fn([dataloader.dataset[0]]), True)
            trial(**batch, mode='loss')
        except ValueError as error:
            if 'more than 1 value per channel' not in str(error):
                raise
            raise UserError(
                f'a batch of at least two images was expected, as a BatchNorm layer of the model sees maps of 1 x 1 '
                f'pixel, and the last batch of an epoch has one of the {len(dataloader.dataset)} images: set '
                f'train_dataloader.drop_last=True, or another train_dataloader.batch_size.'
            ) from None


def _last_batch(dataloader) -> int:
    """Images in the last batch of an epoch on this rank; 0 where that is not known."""
    batches = dataloader.batch_sampler
    size = getattr(batches, 'batch_size', 0)
    if not size or not hasattr(batches.sampler, '__len__'):
        return 0
    if isinstance(batches.sampler, InfiniteSampler):  # its batches go over the end of an epoch
        return size
    left = len(batches.sampler) % size
    return size if left == 0 or batches.drop_last else left
