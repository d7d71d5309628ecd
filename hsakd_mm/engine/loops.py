"""Training loops whose stopped and resumed run is the run: mmengine's, with a position inside the epoch.

Nothing random is stored. Images are augmented as a function of (seed, epoch, index) and a step draws as one of (seed,
step, rank); see :mod:`hsakd_mm.randomness`. A resumed run skips the indices of the batches that were trained on,
and reads none of their images.
"""

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import SyncBuffersHook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmengine.runner.base_loop import BaseLoop
from mmengine.runner.utils import calc_dynamic_intervals

from hsakd_mm.datasets.stateless_sampler import StatelessBatchSampler, stateless
from hsakd_mm.randomness import seed_everything
from hsakd_mm.registry import LOOPS

VALIDATED = 'last_validated'  # in the message hub, which a checkpoint holds: the step of the last whole validation


class _ExactLoop(BaseLoop):
    """What both loops share.

    Attributes:
        batch (int): Batches of the running epoch that were trained on; in a run that counts steps, of the run.
        resumed_images (int): Images of all ranks in these batches, from a checkpoint; None in a new run.
        buffers_differ (bool): Each rank was given buffers of its own from the checkpoint.
    """

    batch = 0
    resumed_images: int | None = None
    buffers_differ = False

    @property
    def seed(self) -> int:
        """The seed of the run, the same on all ranks."""
        differs = self.runner._randomness_cfg.get('diff_rank_seed', False)
        return self.runner.seed - (get_rank() if differs else 0)

    @property
    def sampler(self) -> StatelessBatchSampler:
        return self.dataloader.batch_sampler

    @property
    def images(self) -> int:
        """Images of all ranks in :attr:`batch` batches."""
        return self.batch * self._images_a_step

    @property
    def _images_a_step(self) -> int:
        return self.sampler.batch_size * get_world_size()

    def batch_indices(self, batch: int) -> list[int] | None:
        """Indices in the data set of this rank's images of a batch, counted as ``batch_idx`` in hooks.

        Returns:
            list[int] | None: None for a batch long before the last one.
        """
        seeded = self.sampler.recent.get(batch)
        return None if seeded is None else seeded[:]  # going through it would seed the generators

    def batch_crop(self, batch: int) -> int:
        """Number of the augmentation of a recent batch: the epoch, modulo ``sampler.crops`` if that is set."""
        return self.sampler.recent[batch].epoch

    def step(self, batch_idx: int, data_batch) -> None:
        """One training step, as in mmengine's loops, with its own random numbers."""
        self.runner.call_hook('before_train_iter', batch_idx=batch_idx, data_batch=data_batch)
        seed_everything(self.seed, 'step', self._iter, get_rank(), devices=True)
        outputs = self.runner.model.train_step(data_batch, optim_wrapper=self.runner.optim_wrapper)
        self.batch += 1
        self.runner.call_hook('after_train_iter', batch_idx=batch_idx, data_batch=data_batch, outputs=outputs)
        self._iter += 1

    def _is_validation_due(self) -> bool:
        raise NotImplementedError

    def validate(self) -> None:
        """Validate, if it is due here."""
        self._decide_current_val_interval()
        if self.runner.val_loop is not None and self._is_validation_due():
            self.runner.val_loop.run()
            self.runner.message_hub.update_info(VALIDATED, self._iter)

    def make_up_validation(self) -> None:
        """Validate after resuming, if the run was stopped between a checkpoint and the end of its validation."""
        hub = self.runner.message_hub
        if self._iter and hub.runtime_info.get(VALIDATED) != self._iter:
            for hook in self.runner.hooks:
                if isinstance(hook, SyncBuffersHook):
                    # Unless they were saved for each rank, they were averaged before they were saved.
                    hook.called_in_train = not self.buffers_differ
            self.validate()


@LOOPS.register_module()
class ExactEpochLoop(_ExactLoop, EpochBasedTrainLoop):
    """``EpochBasedTrainLoop`` that can be stopped and resumed at any step.

    Args:
        runner (Runner): The runner.
        dataloader (dict): Of ``train_dataloader``; its batch sampler is wrapped.
        max_epochs, val_begin, val_interval, dynamic_intervals: As in mmengine.
    """

    def __init__(self, runner, dataloader: dict, *args, **kwargs) -> None:
        self._runner = runner
        super().__init__(runner, stateless(dataloader, self.seed), *args, **kwargs)

    def run(self):
        self._find_position()  # hooks look at the step that the run goes on with
        self.runner.call_hook('before_train')
        self.sampler.reseed(self.seed)
        if self.batch == 0:
            self.make_up_validation()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self.validate()
        self.runner.call_hook('after_train')
        return self.runner.model

    def _find_position(self) -> None:
        """The batch to go on with, also with another batch size or number of ranks than before."""
        steps = len(self.dataloader)
        if self.resumed_images is not None:
            self.batch = min(steps, self.resumed_images // self._images_a_step)
            self._iter = self._epoch * steps + self.batch
            self.runner.optim_wrapper.initialize_count_status(self.runner.model, self._iter, self._max_iters)
        elif 0 < self._iter - self._epoch * steps <= steps:  # a checkpoint of mmengine's own hook
            self.batch = self._iter - self._epoch * steps

    def run_epoch(self) -> None:
        self.sampler.start_at(self._epoch, self.batch)
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for batch_idx, data_batch in enumerate(self.dataloader, self.batch):
            self.step(batch_idx, data_batch)
        self.batch = 0
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _is_validation_due(self) -> bool:
        return self._epoch >= self.val_begin and (
            self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
        )


@LOOPS.register_module()
class ExactIterLoop(_ExactLoop, IterBasedTrainLoop):
    """``IterBasedTrainLoop`` that skips indices, and no decoded batches, when it is resumed.

    Args:
        runner (Runner): The runner.
        dataloader (dict): Of ``train_dataloader``; its batch sampler is wrapped. A finite sampler goes on with its
            next epoch.
        max_iters, val_begin, val_interval, dynamic_intervals: As in mmengine.
    """

    def __init__(
        self,
        runner,
        dataloader: dict,
        max_iters: int,
        val_begin: int = 1,
        val_interval: int = 1000,
        dynamic_intervals: list | None = None,
    ) -> None:
        # Not mmengine's, which has the workers load the first batches before it is known where the run goes on.
        self._runner = runner
        BaseLoop.__init__(self, runner, stateless(dataloader, self.seed))
        self._max_iters, self._max_epochs = max_iters, 1
        self._epoch = self._iter = 0
        self.val_begin, self.val_interval = val_begin, val_interval
        self.stop_training = False
        runner.visualizer.dataset_meta = getattr(self.dataloader.dataset, 'metainfo', None)
        self.dynamic_milestones, self.dynamic_intervals = calc_dynamic_intervals(val_interval, dynamic_intervals)

    def run(self):
        self.runner.call_hook('before_train')
        self.sampler.reseed(self.seed)
        self.batch = self._iter if self.resumed_images is None else self.resumed_images // self._images_a_step
        self.make_up_validation()  # which may be cut off too, with a checkpoint of this position
        self.runner.call_hook('before_train_epoch')
        self.sampler.start_at(0, self.batch, endless=True)
        self.dataloader_iterator = iter(self.dataloader)
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.step(self.batch, next(self.dataloader_iterator))
            self.validate()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def _is_validation_due(self) -> bool:
        return self._iter >= self.val_begin and (self._iter % self.val_interval == 0 or self._iter == self._max_iters)
