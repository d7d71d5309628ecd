"""Replaces image files that break during a run by others, counts them, and stops beyond a budget."""

import os
from collections.abc import Iterator

import numpy as np

from hsakd_mm.errors import UserError

from .images import UnreadableImage


class BrokenImages:
    """The list of broken files: a text file to which several processes and workers append.

    A line is ``path<TAB>reason``, written by one ``write`` in append mode, which does not mix with others'. Two
    workers may write the same path at the same moment; it counts once.

    Args:
        path (str): The list.
        allowed (int): So many files may break.
        total (int): Images of the data set, for the message.
    """

    def __init__(self, path: str, allowed: int, total: int) -> None:
        self.path, self.allowed, self.total = path, allowed, total

    def listed(self) -> dict:
        """The reasons by path."""
        if not os.path.exists(self.path):
            return {}
        with open(self.path, encoding='utf-8', errors='surrogateescape') as file:
            lines = (line.rstrip('\n').partition('\t') for line in file)
            return {path: reason for path, _, reason in lines if path}

    def add(self, image: str, error: Exception) -> None:
        """List a file.

        Raises:
            UserError: More files are broken than are allowed; or the list cannot be written.
        """
        if self.allowed == 0:
            raise error
        if image not in self.listed():
            line = f'{image}\t{" ".join(str(error).split())}\n'.encode(errors='surrogateescape')
            try:
                descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                try:
                    os.write(descriptor, line)
                finally:
                    os.close(descriptor)
            except OSError as failed:
                raise UserError(
                    f'a broken image, {image}, was to be listed in {self.path}, which cannot be written '
                    f'({failed.strerror}): free some space, and mend the image.'
                ) from error
        self.check()

    def check(self) -> None:
        """Raise UserError if more files are listed than are allowed."""
        listed = self.listed()
        if len(listed) > self.allowed:
            image, reason = list(listed.items())[-1]
            raise UserError(
                f'at most {self.allowed} of {self.total} images may break during a run, and {len(listed)} did, which '
                f'{self.path} lists (the last is {image}: {reason.rstrip(".")}): mend them and remove that list, or '
                f'allow more with the hook dict(type="BrokenImageHook", budget=SHARE).'
            )


class Replacing:
    """Stands for ``prepare_data`` of a data set: an image that cannot be read gives way to another of its class.

    Which one is a function of the seed and of the index, so it is the same in every epoch and in a resumed run: the
    first that can be read, in an order of their own, of all images with the same ``gt_label``; of all images in a data
    set without, such as MMDetection's.

    Args:
        dataset (BaseDataset): Its images are files with ``img_path``.
        broken (BrokenImages): The list.
        seed (int): Of the run.
    """

    def __init__(self, dataset, broken: BrokenImages, seed: int) -> None:
        self.dataset, self.broken, self.seed = dataset, broken, seed

    def __call__(self, index: int):
        first = None
        for candidate in self._candidates(index):
            try:
                return type(self.dataset).prepare_data(self.dataset, candidate)
            except Exception as error:
                if not _is_unreadable(error):
                    raise
                self.broken.add(str(self.dataset.get_data_info(candidate)['img_path']), error)
                first = first or error
        raise first or UserError('an image was expected, and the data set has none.')

    def _candidates(self, index: int) -> Iterator[int]:
        yield index
        label = self.dataset.get_data_info(index).get('gt_label')
        for other in np.random.default_rng([self.seed, index]).permutation(len(self.dataset)).tolist():
            if other != index and self.dataset.get_data_info(other).get('gt_label') == label:
                yield other


def _is_unreadable(error: Exception) -> bool:
    """Ours, or those of MMDetection's LoadImageFromFile: no such file, or bytes that OpenCV does not know."""
    if isinstance(error, UnreadableImage | OSError):
        return True
    return isinstance(error, AssertionError) and 'failed to load image' in str(error)


def leaves(dataset) -> Iterator:
    """The data sets of files within wrappers such as ``ConcatDataset`` and ``MultiImageMixDataset``."""
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if inner[0] is not None:
        for each in inner:
            yield from leaves(each)
    elif hasattr(dataset, 'prepare_data') and len(dataset) and 'img_path' in dataset.get_data_info(0):
        yield dataset
