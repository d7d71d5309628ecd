"""Tiny-ImageNet in the layout of its archive: a list gives the labels of the validation images.

::

    tiny-imagenet-200/
      wnids.txt   words.txt
      train/<wnid>/images/*.JPEG      train/<wnid>/<wnid>_boxes.txt
      val/images/*.JPEG               val/val_annotations.txt
"""

import os
from collections.abc import Sequence

from hsakd_mm.errors import UserError
from hsakd_mm.registry import DATASETS

from .image_folder import ImageFolder, scan

URL = 'http://cs231n.stanford.edu/tiny-imagenet-200.zip'


@DATASETS.register_module()
class TinyImageNet(ImageFolder):
    """200 classes of ImageNet at 64x64: 500 images each for training, 50 for validation.

    A validation set that is sorted into class folders is read too, and so is a subset without the
    lists. Classes are WordNet ids in alphabetical order, as in the reference code;
    ``metainfo['words']`` gives their English names if ``words.txt`` exists. Nothing is downloaded:
    the images are subject to ImageNet's terms.

    Args:
        data_root (str): The unpacked folder, ``tiny-imagenet-200``.
        split (str): 'train' or 'val'; the test set has no labels.
        non_rgb (str): As in :class:`.ImageFolder`; 'convert' by default, since some files are greyscale.
        **kwargs: ``pipeline``, ``verify``, ``fraction`` … of :class:`.ImageFolder`.

    Raises:
        UserError: As :class:`.ImageFolder`, or the validation list does not match the images.
    """

    def __init__(self, data_root: str, split: str = 'train', non_rgb: str = 'convert', **kwargs) -> None:
        if split not in ('train', 'val'):
            raise UserError(
                f"split must be 'train' or 'val' for TinyImageNet, and it is {split!r}: its test set has no labels."
            )
        self.split = split
        super().__init__(data_root, split, non_rgb=non_rgb, **kwargs)

    def load_data_list(self) -> list[dict]:
        samples = super().load_data_list()
        words = os.path.join(os.path.dirname(self.folder), 'words.txt')
        if os.path.isfile(words):
            named = dict(line.split('\t', 1) for line in _lines(words) if '\t' in line)
            self._metainfo['words'] = tuple(named.get(wnid, wnid) for wnid in self._metainfo['classes'])
        return samples

    def find_files(self, chosen: Sequence[str] | None) -> tuple[tuple[str, ...], list[tuple[str, int]]]:
        """The classes, and the files as (path, label)."""
        root = os.path.dirname(self.folder)
        if not os.path.isdir(self.folder):
            raise UserError(
                f'Tiny-ImageNet was expected in {root}, and there is no folder '
                f"{self.folder}: read ImageNet's terms, unpack {URL} and set "
                f'data_root to its folder.'
            )
        wnids = os.path.join(root, 'wnids.txt')
        if os.path.isfile(wnids) and not chosen:
            chosen = sorted({line.strip() for line in _lines(wnids)} - {''})
        images = os.path.join(self.folder, 'images')
        if self.split == 'val' and os.path.isdir(images) and os.listdir(images):
            return self._listed(images, os.path.join(self.folder, 'val_annotations.txt'), chosen)
        classes, files = scan(self.folder, chosen)
        return classes, [(path, label) for path, label in files if not path.endswith('.txt')]

    @staticmethod
    def _listed(
        images: str, annotations: str, chosen: Sequence[str] | None
    ) -> tuple[tuple[str, ...], list[tuple[str, int]]]:
        """The files of ``images/``, labelled by the list ``name <tab> wnid <tab> box``."""
        if not os.path.isfile(annotations):
            raise UserError(
                f'labels of {images} were expected in {annotations}, and there is no such file: unpack {URL} anew.'
            )
        wnid_of = {}
        for number, line in enumerate(_lines(annotations), 1):
            fields = line.split('\t')
            if len(fields) < 2:
                raise UserError(
                    f'"name <tab> wnid <tab> box" was expected in line {number} of '
                    f'{annotations}, and it is {line[:60]!r}: unpack {URL} anew.'
                )
            wnid_of[fields[0]] = fields[1]
        there = {name for name in os.listdir(images) if not name.startswith('.')}
        odd = sorted(there ^ set(wnid_of))
        if odd:
            where = 'in the list only' if odd[0] in wnid_of else 'in the folder only'
            raise UserError(
                f'{annotations} and {images} should name the same files, and {odd[0]} is {where}: unpack {URL} anew.'
            )
        classes = tuple(chosen or sorted(set(wnid_of.values())))
        absent = sorted(set(classes) - set(wnid_of.values()))
        if absent:
            raise UserError(
                f'images of class {absent[0]!r} were expected in {annotations}, and '
                f'there are none: correct metainfo.classes, or unpack {URL} anew.'
            )
        label_of = {wnid: label for label, wnid in enumerate(classes)}
        files = sorted((label_of[wnid], name) for name, wnid in wnid_of.items() if wnid in label_of)
        return classes, [(os.path.join(images, name), label) for label, name in files]


def _lines(path: str) -> list[str]:
    with open(path, encoding='utf-8', errors='replace') as file:
        return file.read().splitlines()
