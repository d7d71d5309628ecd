"""Datasets that torchvision reads from a few large files, for our pipelines.

torchvision knows the names, checksums and formats of the files. This module adds what a run needs
around them: clear errors, one download for all ranks, a choice of classes, and few-shot subsets.
"""

import os
from collections.abc import Sequence

import numpy as np
from mmengine.dataset import BaseDataset
from PIL import Image
from torch.utils.data import get_worker_info
from torchvision.datasets import VisionDataset

from hsakd_mm.errors import UserError
from hsakd_mm.processes import on_all_ranks

from .download import fetch_archive, first_bad_file, on_main_rank
from .few_shot import check_fraction, stratified_subset
from .same_classes import check_data_root, chosen_classes
from .transforms import LoadImage, LoadRandomResizedCrop, build_transforms


class TorchvisionSet(BaseDataset):
    """Base class of the datasets whose images are stored in arrays.

    A sample enters the pipeline as ``dict(img: PIL.Image, gt_label: int, row: int, sample_idx:
    int)``. The image is decoded already, so a pipeline with ``LoadImage`` is rejected. All images
    are kept in one array, which forked workers share.

    Args:
        data_root (str): The parent of the dataset's own folder (:attr:`folder`).
        split (str): One of :attr:`splits`.
        pipeline (Sequence[dict | Callable]): Transforms; the last one is ``PackInputs``.
        download (bool): Download the archive if a file is missing or damaged. The main rank does
            it, the others wait.
        fraction (float): Keep this fraction of every class (:mod:`.few_shot`).
        split_seed (int): Seed of that choice.
        verify (bool): Compare the MD5 of the files. Set it to ``False`` to read your own files in
            the same format. CIFAR's files are pickles: those that hold more than plain values, which
            could run code, are rejected.
        **kwargs: ``metainfo``, ``indices``, ``test_mode``, ``serialize_data``, ``lazy_init``, … of
            :class:`mmengine.dataset.BaseDataset`. ``metainfo['classes']`` chooses and orders the
            classes; by default all, in the dataset's order.

    Raises:
        UserError: A file is missing, damaged or in another format, or the class or split does
            not exist. In distributed runs it is raised on every rank.
    """

    source: type[VisionDataset]
    splits = ('train', 'test')

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        pipeline: Sequence = (),
        download: bool = False,
        fraction: float = 1.0,
        split_seed: int = 0,
        verify: bool = True,
        **kwargs,
    ) -> None:
        if split not in self.splits:
            raise UserError(f'split must be one of {self.splits} for {type(self).__name__}, and it is {split!r}.')
        check_data_root(data_root)
        check_fraction(fraction)
        self.split = split
        self.download = download
        self.fraction = fraction
        self.split_seed = split_seed
        self.verify = verify
        pipeline = build_transforms(pipeline)
        if any(isinstance(transform, LoadImage | LoadRandomResizedCrop) for transform in pipeline):
            raise UserError(
                f'{type(self).__name__} gives the pipeline images, and LoadImage and LoadRandomResizedCrop expect '
                f'files: leave LoadImage out; to crop use torchvision/RandomResizedCrop.'
            )
        super().__init__(data_root=os.path.expanduser(data_root), pipeline=pipeline, **kwargs)

    @property
    def folder(self) -> str:
        """The dataset's own folder in ``data_root``, named as in its archive."""
        return os.path.join(self.data_root, self.source.base_folder)

    def files(self) -> list[tuple[str, str]]:
        """``(name, MD5)`` of the required files in :attr:`folder`."""
        return [tuple(entry) for entry in self.source.train_list + self.source.test_list]

    def open(self, source: type[VisionDataset]) -> tuple[np.ndarray, Sequence[int], Sequence[str]]:
        """This split's images (uint8 ``[n, H, W, 3]``), labels and class names.

        Args:
            source (type): :attr:`source` without its checksums, which are compared before.
        """
        raise NotImplementedError

    def load_data_list(self) -> list[dict]:
        """Check or download the files, then read them. Sets ``metainfo['classes']``."""
        if get_worker_info() is None:  # a worker must not call collectives
            if self.download:
                on_main_rank(self._fetch)
            self._images, labels, names = on_all_ranks(self._read)
        else:
            self._images, labels, names = self._read()
        classes = chosen_classes(self._metainfo) or tuple(names)
        absent = sorted(set(classes) - set(names))
        if absent:
            raise UserError(
                f'{type(self).__name__} has no class {absent[0]!r}: correct '
                f'metainfo.classes; its classes are {", ".join(names)}.'
            )
        self._metainfo['classes'] = classes
        place = {names.index(name): label for label, name in enumerate(classes)}
        samples = [dict(row=row, gt_label=place[label]) for row, label in enumerate(labels) if label in place]
        return stratified_subset(samples, [sample['gt_label'] for sample in samples], self.fraction, self.split_seed)

    def get_data_info(self, idx: int) -> dict:
        info = super().get_data_info(idx)
        return dict(info, img=Image.fromarray(self._images[info['row']]))

    def _fetch(self) -> None:
        if self._first_bad_file():
            fetch_archive(self.source.url, self.data_root, self.source.filename, self.source.tgz_md5)

    def _first_bad_file(self) -> tuple[str, str] | None:
        return first_bad_file(self.folder, [(name, md5 if self.verify else None) for name, md5 in self.files()])

    def _read(self) -> tuple[np.ndarray, list[int], list[str]]:
        bad = self._first_bad_file()
        if bad:
            remedy = (
                'copy it from the machine of the main rank, which downloads'
                if self.download
                else 'set download=True on the dataset'
            )
            raise UserError(
                f'{type(self).__name__} was expected in {self.folder}, and {bad[0]} '
                f'{bad[1]}: {remedy}, or unpack {self.source.url} into '
                f'{self.data_root}.'
            )
        unchecked = {
            name: [(file, None) for file, _ in getattr(self.source, name)] for name in ('train_list', 'test_list')
        }
        try:
            images, labels, names = self.open(type('Source', (self.source,), unchecked))
            labels, names = [int(label) for label in labels], list(names)
        except Exception as error:  # bytes of another format fail in many ways
            raise self._damaged(f'{type(error).__name__}: {error}') from error
        if not len(images) == len(labels) > 0 or not set(labels) <= set(range(len(names))):
            raise self._damaged(
                f'{len(images)} images, {len(labels)} labels in '
                f'{min(labels, default=0)}..{max(labels, default=0)} of '
                f'{len(names)} classes'
            )
        return images, labels, names

    def _damaged(self, what: str) -> UserError:
        return UserError(
            f'the files of {type(self).__name__} were expected in {self.folder}, and '
            f'those there cannot be read as such ({" ".join(what.split())[:160]}): '
            f'remove the folder and set download=True on the dataset.'
        )

    def _copy_without_annotation(self, memo: dict | None = None) -> BaseDataset:
        # For get_subset(), which would copy the images as well.
        return super()._copy_without_annotation({id(self._images): self._images, **(memo or {})})
