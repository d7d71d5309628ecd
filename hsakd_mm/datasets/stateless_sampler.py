"""Batches whose images are augmented as a function of (seed, epoch, index), from any position on."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from itertools import count, islice

from mmengine.dist import get_world_size
from mmengine.registry import DATA_SAMPLERS as CURRENT  # of the config's default scope
from torch.utils.data import BatchSampler, Sampler

from hsakd_mm.errors import UserError
from hsakd_mm.randomness import seed_everything
from hsakd_mm.registry import DATA_SAMPLERS

REMEMBERED = 4096  # batches; more than any loader prepares in advance


class SeededIndices(list):
    """Indices of a batch. Whoever goes through them has the generators seeded before each image.

    That is what torch's DataLoader does, in its workers or in the main process. The data set needs no wrapper, so
    hooks find the one that the config names, and MMDetection's transforms, which draw from numpy, are seeded too.
    """

    def __init__(self, indices: list, seed: int, epoch: int) -> None:
        super().__init__(indices)
        self.seed, self.epoch = seed, epoch

    def __iter__(self) -> Iterator[int]:
        for index in super().__iter__():
            seed_everything(self.seed, 'image', self.epoch, index)
            yield index

    def __reduce__(self):  # to a worker, without a walk through the images
        return type(self), (self[:], self.seed, self.epoch)


@DATA_SAMPLERS.register_module()
class StatelessBatchSampler(BatchSampler):
    """Batches of another batch sampler, each with its seed; can begin at any batch of any epoch.

    Only indices are skipped: no image of a batch before that position is read again.

    Args:
        sampler (Sampler): Of single indices.
        batch_size (int): Images of a batch.
        drop_last (bool): Leave out a last batch that is smaller.
        batch_sampler (dict): Config of the batch sampler, such as MMDetection's ``AspectRatioBatchSampler``; torch's
            own by default.
        seed (int): Of the run.

    Attributes:
        epoch (int): Of the next iteration. Set by :meth:`start_at`.
        crops (int | None): As many augmentations of an image take turns: epoch e has that of epoch ``e % crops``.
            None: each epoch has its own.
        recent (dict): Number of the batch in the iteration, to its indices; the last 4,096.
    """

    def __init__(
        self,
        sampler: Sampler,
        batch_size: int,
        drop_last: bool = False,
        batch_sampler: dict | None = None,
        seed: int = 0,
    ) -> None:
        if batch_sampler is None:
            self.batches: BatchSampler = BatchSampler(sampler, batch_size, drop_last)
        else:
            self.batches = CURRENT.build(dict(batch_sampler), default_args=dict(sampler=sampler, batch_size=batch_size))
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last
        self.seed = seed
        self.crops: int | None = None
        self.recent: OrderedDict[int, SeededIndices] = OrderedDict()
        self.start_at()

    def reseed(self, seed: int) -> None:
        """Take over the seed of the run; the order of the images follows it as well."""
        self.seed = seed
        if hasattr(self.sampler, 'seed'):
            self.sampler.seed = seed

    def start_at(self, epoch: int = 0, batch: int = 0, endless: bool = False) -> None:
        """Where the next iteration begins.

        Args:
            epoch (int): Passed on to the sampler.
            batch (int): Number of batches to leave out.
            endless (bool): Go on with the next epoch after the last batch, for runs that count steps. ``batch`` is
                then counted from the first batch of ``epoch`` on, over as many epochs as it takes.
        """
        self.epoch, self.first, self.endless = epoch, batch, endless

    def __iter__(self) -> Iterator[SeededIndices]:
        self.recent.clear()
        for number, (epoch, indices) in islice(enumerate(self._from_the_start()), self.first, None):
            self.recent[number] = SeededIndices(indices, self.seed, epoch % self.crops if self.crops else epoch)
            if len(self.recent) > REMEMBERED:
                self.recent.popitem(last=False)
            yield self.recent[number]

    def _from_the_start(self) -> Iterator[tuple]:
        images, size = self.batch_size * get_world_size(), len(getattr(self.sampler, 'dataset', self.sampler))
        for epoch in count(self.epoch):
            if hasattr(self.sampler, 'set_epoch'):
                self.sampler.set_epoch(epoch)
            number = -1
            for number, indices in enumerate(self.batches):
                # Of an infinite sampler, all epochs are one.
                yield epoch + number * images // max(1, size), indices
            if not self.endless or number < 0:
                return

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return len(self.batches)


def stateless(dataloader: dict, seed: int) -> dict:
    """The config of a data loader with :class:`StatelessBatchSampler` around its batch sampler.

    Raises:
        UserError: It is a built loader, whose sampler cannot be replaced.
    """
    if not isinstance(dataloader, Mapping):
        raise UserError(
            f'the config of a data loader was expected, and train_dataloader is a {type(dataloader).__name__}: give '
            f'its config, or use a train_cfg.type of mmengine.'
        )
    dataloader = dict(dataloader)
    dataloader.setdefault('batch_size', 1)  # torch's default
    dataloader['batch_sampler'] = dict(
        type='hsakd_mm.StatelessBatchSampler',
        batch_sampler=dataloader.get('batch_sampler'),
        drop_last=dataloader.pop('drop_last', False),
        seed=seed,
    )
    return dataloader
