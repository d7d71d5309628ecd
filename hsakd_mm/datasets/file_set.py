"""What data sets of image files share, with labels or without: found alike on all ranks, checked, a part of them."""

import hashlib
import os
from collections.abc import Sequence

from mmengine.dataset import BaseDataset
from mmengine.dist import all_gather_object
from torch.utils.data import get_worker_info

from hsakd_mm.errors import UserError
from hsakd_mm.processes import on_all_ranks

from .few_shot import check_fraction
from .images import NON_RGB, is_hidden
from .same_classes import check_data_root
from .transforms import build_transforms
from .verify import verify_images


class ImageFileSet(BaseDataset):
    """Base class of the data sets whose samples are image files, or parts of them.

    A sample enters the pipeline as what :meth:`find_samples` says of it, with ``sample_idx: int`` and
    ``non_rgb: str``. Photographs are turned upright (:mod:`.images`).

    Args:
        data_root (str): Folder of the dataset.
        split (str): Folder in ``data_root``, such as 'train'.
        pipeline (Sequence[dict | Callable]): Transforms; the last one is ``PackInputs``.
        non_rgb (str): How to treat files that are not 8-bit RGB: 'error' or 'convert'.
        verify (bool): Check all files when the dataset is loaded (:mod:`.verify`).
        fraction (float): Keep this fraction of the samples (:mod:`.few_shot`).
        split_seed (int): Seed of that choice.
        **kwargs: ``metainfo``, ``indices``, ``test_mode``, ``serialize_data``, ``lazy_init``, … of
            :class:`mmengine.dataset.BaseDataset`.

    Raises:
        UserError: There are no images, or a file cannot be used. In distributed runs it is raised on every rank.
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

    def find_samples(self) -> list[dict]:
        """Each with its ``img_path``; the same on every rank."""
        raise NotImplementedError

    def load_data_list(self) -> list[dict]:
        """Find the samples, then check their files."""
        if not self.verify or get_worker_info() is not None:  # a worker must not call collectives
            return self.find_samples()
        samples = on_all_ranks(self.find_samples)
        _check_same_everywhere(self.folder, samples)
        verify_images(list(dict.fromkeys(sample['img_path'] for sample in samples)), self.non_rgb)
        return samples

    def get_data_info(self, idx: int) -> dict:
        return dict(super().get_data_info(idx), non_rgb=self.non_rgb)


def files_below(folder: str) -> list[str]:
    """Paths of the files in a folder and in those within, sorted, without hidden ones."""
    folders, files = entries(folder)
    paths = [os.path.join(folder, name) for name in files]
    for name in folders:
        paths += files_below(os.path.join(folder, name))
    return sorted(paths)


def entries(folder: str) -> tuple[list[str], list[str]]:
    """Sorted names of the folders and of the files in a folder, without hidden ones."""
    folders, files = [], []
    try:
        with os.scandir(folder) as found:
            for entry in found:
                if not is_hidden(entry.name):
                    (folders if entry.is_dir() else files).append(entry.name)
    except OSError as error:
        raise UserError(
            f'the folder {folder} cannot be read ({error.strerror}): mend its permissions or choose another data_root.'
        ) from error
    return sorted(folders), sorted(files)


def _check_same_everywhere(folder: str, samples: list[dict]) -> None:
    """Ranks on different machines read different disks: an index must be the same image on all."""
    names = '\0'.join(f'{sample["img_path"][len(folder) :]}{sample.get("box", "")}' for sample in samples)
    digest = hashlib.sha256(names.encode(errors='surrogateescape')).hexdigest()
    if len(set(all_gather_object(digest))) > 1:
        raise UserError(
            f'every machine must see the same files in {folder}, and they differ: '
            f'copy the data anew, or use a shared disk.'
        )
