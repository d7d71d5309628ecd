"""A classification dataset in ImageNet's layout: one folder of images per class."""

import os
from collections.abc import Sequence
from multiprocessing.pool import ThreadPool

from hsakd_mm.errors import UserError
from hsakd_mm.registry import DATASETS

from .few_shot import stratified_subset
from .file_set import ImageFileSet, entries, files_below
from .same_classes import chosen_classes


@DATASETS.register_module()
class ImageFolder(ImageFileSet):
    """Images in ``data_root/split/<class>/**``; labels number the class folders in alphabetical order.

    Every file in a class folder must be an image, except hidden ones and those of operating systems
    (``.DS_Store``, ``Thumbs.db``). Photographs are turned upright (:mod:`.images`). A sample enters the pipeline
    as ``dict(img_path: str, gt_label: int, sample_idx: int, non_rgb: str)``.

    Args:
        data_root (str): Folder of the dataset.
        split (str): Folder in ``data_root`` with the class folders, such as 'train'.
        pipeline (Sequence[dict | Callable]): Transforms; the last one is ``PackInputs``.
        fraction (float): Keep this fraction of every class (:mod:`.few_shot`).
        **kwargs: ``non_rgb``, ``verify``, ``metainfo``, … of :class:`.ImageFileSet`. ``metainfo['classes']``
            chooses and orders the class folders; by default all, in alphabetical order.

    Raises:
        UserError: The folder does not exist, has no class folders, a class has no images, or a file
            cannot be used. In distributed runs it is raised on every rank.
    """

    def find_samples(self) -> list[dict]:
        """The files with their labels. Sets ``metainfo['classes']``."""
        classes, files = self.find_files(chosen_classes(self._metainfo))
        self._metainfo['classes'] = classes
        files = stratified_subset(files, [label for _, label in files], self.fraction, self.split_seed)
        return [dict(img_path=path, gt_label=label) for path, label in files]

    def find_files(self, chosen: Sequence[str] | None) -> tuple[tuple[str, ...], list[tuple[str, int]]]:
        """The classes, and the files as (path, label). Datasets in other layouts override this."""
        return scan(self.folder, chosen)


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
    found, files = entries(folder)
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
        listings = pool.map(files_below, paths, chunksize=1)
    for path, listing in zip(paths, listings):
        if not listing:
            raise UserError(
                f'images were expected in the class folder {path}, and it has none: add images or remove the folder.'
            )
    return classes, [(path, label) for label, listing in enumerate(listings) for path in listing]
