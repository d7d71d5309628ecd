"""What the teacher said of a fixed set of crops, remembered, so that it is asked once for each.

The idea is FKD's (Shen and Xing, A Fast Knowledge Distillation Framework, ECCV 2022). Here the crops need not be
stored: an image's augmentation is a function of (seed, epoch, index), and the epoch is counted modulo the number of
crops.
"""

from collections.abc import Callable

import torch
from torch import Tensor


class TeacherTargets:
    """Outputs of a teacher for every image, crop and view, filled in batch by batch.

    They are kept on the device that they are made on, in their own precision. Nothing is saved: a resumed run asks the
    teacher again, in other batches. Where these have another size, as the last batch of an epoch, a kernel may round
    otherwise; with ``train_dataloader.drop_last=True`` all have the same.

    Args:
        images (int): Of the data set.
        crops (int): R, of each image.
    """

    def __init__(self, images: int, crops: int) -> None:
        self.images, self.crops = images, crops
        self.places = torch.empty(0, dtype=torch.long)
        self._tables: dict = {}

    def select(self, indices: list[int], crop: int) -> None:
        """The images of the coming step, by their index in the data set, and which crop of them it sees."""
        self.places = torch.tensor(indices) * self.crops + crop

    def get(self, ask: Callable[[], list[Tensor]], kind: tuple, views: int, turns: tuple) -> list[Tensor]:
        """The outputs for the selected images, one tensor ``[B·V, K]`` a head; ``turns`` are V of the ``views``.

        Args:
            ask (Callable): Asks the teacher: ``[B·views, K]`` a head, an image's views one after another.
            kind (tuple): What is asked, and last the size of the images; other kinds are kept apart, other sizes not.
            views (int): Views of an image that are remembered.
            turns (tuple[int]): The ones that the step sees.
        """
        if kind not in self._tables or not self._tables[kind].known[self.places].all():
            outputs = ask()
            latest = torch.cat(outputs, 1).unflatten(0, (-1, views))
            if kind not in self._tables:
                for other in [each for each in self._tables if each[-1] != kind[-1]]:
                    del self._tables[other]  # of the size that images had before
                size = (self.images * self.crops, *latest.shape[1:])
                self._tables[kind] = _Table(latest.new_zeros(size), [output.shape[1] for output in outputs])
            self._tables[kind].put(self.places, latest)
        table = self._tables[kind]
        rows = table.values[self.places.to(table.values.device)][:, list(turns)].flatten(0, 1)
        return list(rows.split(table.widths, 1))


class _Table:
    """Values ``[images · crops, views, sum of K]``, and which of the rows are known; that is asked on the CPU."""

    def __init__(self, values: Tensor, widths: list[int]) -> None:
        self.values, self.widths = values, widths
        self.known = torch.zeros(len(values), dtype=torch.bool)

    def put(self, places: Tensor, values: Tensor) -> None:
        new = ~self.known[places]  # what was said once stays, to the last bit
        self.values[places[new].to(values.device)] = values[new.to(values.device)]
        self.known[places] = True
