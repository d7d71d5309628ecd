"""A classification dataset in ImageNet's layout: one folder of images per class."""

import hashlib
import os
from collections.abc import Sequence
from multiprocessing.pool import ThreadPool

from mmengine.dataset import BaseDataset
from mmengine.dist import all_gather_object
from torch.utils.data import get_worker_info

from hsakd_mm.errors import UserError
from hsakd_mm.processes import on_all_ranks
from hsakd_mm.registry import DATASETS

from .few_shot import check_fraction, stratified_subset
from .images import NON_RGB, is_hidden
from .same_classes import check_data_root, chosen_classes
from .transforms import build_transforms
from .verify import verify_images


@DATASETS.register_module()
class ImageFolder(BaseDataset):
    """Images in ``data_root/split/<class>/**``; labels number the class folders in alphabetical order.

    Every file in a class folder must be an image, except hidden ones and those of operating systems
    (``.DS_Store``, ``Thumbs.db``). Photographs are turned upright (:mod:`.images`). A sample enters the pipeline
    as ``dict(img_path: str, gt_label: int, sample_idx: int, non_rgb: str)``.

    Args:
        data_root (str): Folder of the dataset.
        split (str): Folder in ``data_root`` with the class folders, such as 'train'.
        pipeline (Sequence[dict | Callable]): Transforms; the last one is ``PackInputs``.
        non_rgb (str): How to treat files that are not 8-bit RGB: 'error' or 'convert'.
        verify (bool): Check all files when the dataset is loaded (:mod:`.verify`).
        fraction (float): Keep this fraction of every class (:mod:`.few_shot`).
        split_seed (int): Seed of that choice.
        **kwargs: ``metainfo``, ``indices``, ``test_mode``, ``serialize_data``, ``lazy_init``, … of
            :class:`mmengine.dataset.BaseDataset`. ``metainfo['classes']`` chooses and orders the
            class folders; by default all, in alphabetical order.

    Raises:
        UserError: The folder does not exist, has no class folders, a class has no images, or a file
            cannot be used. In distributed runs it is raised on every rank.
    """

    def __init__(
        self,
        data_root: str,
        split: str = '',
        pipeline: Sequence = (),
        non_rgb: str = 'error',
        verify: bool = True,
        fraction: float = 1.0,
        split_seed: int = 0,
        **kwargs,
    ) -> None:
        if non_rgb not in NON_RGB:
            raise UserError(f'non_rgb must be one of {NON_RGB}, and it is {non_rgb!r}.')
        check_data_root(data_root)
        check_fraction(fraction)
        self.non_rgb = non_rgb
        self.verify = verify
        self.fraction = fraction
        self.split_seed = split_seed
        self.folder = os.path.join(os.path.expanduser(data_root), split).rstrip('/')
        super().__init__(
            data_root=data_root, data_prefix=dict(img_path=split), pipeline=build_transforms(pipeline), **kwargs
        )

    def load_data_list(self) -> list[dict]:
        """Scan the folders, then check the files. Sets ``metainfo['classes']``."""
        verify = self.verify and get_worker_info() is None  # a worker must not call collectives
        chosen = chosen_classes(self._metainfo)
        classes, files = on_all_ranks(self._chosen_files, chosen) if verify else self._chosen_files(chosen)
        if verify:
            _check_same_everywhere(self.folder, files)
            verify_images([path for path, _ in files], self.non_rgb)
        self._metainfo['classes'] = classes
        return [dict(img_path=path, gt_label=label) for path, label in files]

    def find_files(self, chosen: Sequence[str] | None) -> tuple[tuple[str, ...], list[tuple[str, int]]]:
        """The classes, and the files as (path, label). Datasets in other layouts override this."""
        return scan(self.folder, chosen)

    def _chosen_files(self, chosen: Sequence[str] | None) -> tuple[tuple[str, ...], list[tuple[str, int]]]:
        classes, files = self.find_files(chosen)
        return classes, stratified_subset(files, [label for _, label in files], self.fraction, self.split_seed)

    def get_data_info(self, idx: int) -> dict:
        return dict(super().get_data_info(idx), non_rgb=self.non_rgb)


def scan(folder: str, chosen: Sequence[str] | None = None) -> tuple[tuple[str, ...], list[tuple[str, int]]]:
    """The class folders of ``folder`` and their files as (path, label), in alphabetical order.

    Raises:
        UserError: There are no class folders, or one of them has no image.
    """
    if not os.path.isdir(folder):
        raise UserError(
            f'class folders of images were expected in {folder}, and there is no such '
            f'folder: set data_root (and split) to where the data is.'
        )
    found, files = _entries(folder)
    if not found:
        what = f'{len(files)} files but no folder' if files else 'nothing'
        raise UserError(
            f'class folders of images were expected in {folder}, and there is {what} '
            f'in it: put the images of each class into a folder of their own.'
        )
    classes = tuple(chosen or found)
    absent = sorted(set(classes) - set(found))
    if absent:
        raise UserError(
            f'a class folder {absent[0]!r} was expected in {folder}, and there is '
            f'none: correct metainfo.classes or add the folder.'
        )
    paths = [os.path.join(folder, name) for name in classes]
    with ThreadPool(min(16, len(paths))) as pool:
        listings = pool.map(_files_below, paths, chunksize=1)
    for path, listing in zip(paths, listings):
        if not listing:
            raise UserError(
                f'images were expected in the class folder {path}, and it has none: add images or remove the folder.'
            )
    return classes, [(path, label) for label, listing in enumerate(listings) for path in listing]


def _files_below(folder: str) -> list[str]:
    folders, files = _entries(folder)
    paths = [os.path.join(folder, name) for name in files]
    for name in folders:
        paths += _files_below(os.path.join(folder, name))
    return sorted(paths)


def _entries(folder: str) -> tuple[list[str], list[str]]:
    """Sorted names of the folders and of the files in a folder, without hidden ones."""
    folders, files = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not is_hidden(entry.name):
                    (folders if entry.is_dir() else files).append(entry.name)
    except OSError as error:
        raise UserError(
            f'the folder {folder} cannot be read ({error.strerror}): mend its permissions or choose another data_root.'
        ) from error
    return sorted(folders), sorted(files)


def _check_same_everywhere(folder: str, files: list[tuple[str, int]]) -> None:
    """Ranks on different machines read different disks: an index must be the same image on all."""
    names = '\0'.join(path[len(folder) :] for path, _ in files)
    digest = hashlib.sha256(names.encode(errors='surrogateescape')).hexdigest()
    if len(set(all_gather_object(digest))) > 1:
        raise UserError(
            f'every machine must see the same files in {folder}, and they differ: '
            f'copy the data anew, or use a shared disk.'
        )
