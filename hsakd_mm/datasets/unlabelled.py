"""Images without labels: a folder of pictures, those that a COCO file lists, or what is in its boxes."""

import math
import os
from collections import Counter

from mmengine.logging import print_log

from hsakd_mm.errors import UserError
from hsakd_mm.registry import DATASETS

from .boxes.checks import CLIP, EXTENSIONS, fit_box
from .boxes.coco_read import is_box, is_number, read_coco, read_pictures
from .few_shot import random_subset
from .file_set import ImageFileSet, files_below


@DATASETS.register_module()
class UnlabelledImages(ImageFileSet):
    """Every picture below ``data_root/split``, at any depth; or those of a COCO file, or one sample for each box.

    A sample has no ``gt_label``, a batch no ``labels``, and the data set no classes. In a folder, files without an
    image's extension and hidden ones are left out. Of a COCO file the pictures are those in its list ``images``, and
    neither boxes nor classes are read; with ``crops`` a box is cut out of the upright picture, and boxes of crowds,
    small ones and those that MMDetection would not learn from are left out. The log counts what is left out.

    Args:
        data_root (str): Folder of the data.
        split (str): Folder of the pictures in ``data_root``, such as 'train' or 'train2017'.
        ann_file (str, optional): A COCO file, absolute or in ``data_root`` as in MMDetection's configs.
        crops (bool): One sample a box of ``ann_file``.
        min_size (int): Least width and height of a box, in pixels.
        context (float): What a crop shows around its box, on each side and within the picture, as a share of the
            box's width and height.
        fraction (float): Keep this fraction of the samples, drawn with ``split_seed``.
        **kwargs: ``pipeline``, ``non_rgb``, ``verify``, … of :class:`.ImageFileSet`.

    Raises:
        UserError: There are no images, a file cannot be used, or ``ann_file`` is no COCO file. In distributed runs it
            is raised on every rank.
    """

    labelled = False

    def __init__(
        self,
        data_root: str,
        split: str = '',
        ann_file: str | None = None,
        crops: bool = False,
        min_size: int = 32,
        context: float = 0.1,
        **kwargs,
    ) -> None:
        if ann_file is not None and not isinstance(ann_file, str | os.PathLike):
            raise UserError(f'ann_file is the path of a COCO file, and it is {ann_file!r}: name it, or set None.')
        if crops and not ann_file:
            raise UserError('crops=True cuts out the boxes of a COCO file, and ann_file is not set: name the file.')
        if not is_number(min_size) or min_size < 1:
            raise UserError(f'min_size is the least side of a box in pixels, at least 1, and it is {min_size!r}.')
        if not is_number(context) or context < 0:
            raise UserError(f'context is a share of the size of a box, 0 for none, and it is {context!r}.')
        self.crops, self.min_size, self.context = crops, min_size, context
        super().__init__(data_root, split, ann_file=os.path.expanduser(ann_file or ''), **kwargs)

    def find_samples(self) -> list[dict]:
        if not self.ann_file:
            samples, where = self._of_folder(), self.folder
        else:
            samples, where = (self._of_boxes() if self.crops else self._of_pictures()), self.ann_file
        if not samples:
            raise UserError(
                f'{"boxes of at least " + f"{self.min_size} pixels" if self.crops else "images"} were expected in '
                f'{where}, and there are none: set data_root, split and ann_file to where the data is.'
            )
        return random_subset(samples, self.fraction, self.split_seed)

    def _of_folder(self) -> list[dict]:
        if not os.path.isdir(self.folder):
            raise UserError(
                f'images were expected in {self.folder}, and there is no such folder: set data_root (and split) to '
                f'where the data is.'
            )
        files = files_below(self.folder)
        images = [path for path in files if path.lower().endswith(EXTENSIONS)]
        if others := sorted(set(files) - set(images)):
            _log(f'{len(images)} images in {self.folder}; {len(others)} other files are left out, first {others[0]}')
        return [dict(img_path=path) for path in images]

    def _of_pictures(self) -> list[dict]:
        return [dict(img_path=self._path(picture)) for picture in read_pictures(self._expanded())]

    def _of_boxes(self) -> list[dict]:
        content = read_coco(self._expanded(), masks=False).content
        pictures = {picture['id']: picture for picture in content['images']}
        samples, left_out = [], Counter[str]()
        for box in content['annotations']:
            crop, reason = self._crop(box, pictures.get(box['image_id']))
            if crop is None:
                left_out[reason] += 1
            else:
                samples.append(dict(img_path=self._path(pictures[box['image_id']]), box=crop))
        said = ', '.join(f'{count} {reason}' for reason, count in left_out.items())
        _log(f'{len(samples)} crops of boxes in {self.ann_file}' + (f'; left out: {said}' if said else ''))
        return samples

    def _crop(self, box: dict, picture: dict | None) -> tuple:
        """What to cut out for a box, in whole pixels, or None and why not."""
        if box['iscrowd']:
            return None, 'of crowds'
        sizes = () if picture is None else (picture['width'], picture['height'])
        if not sizes or not is_box(box['bbox']) or not all(map(is_number, sizes)):
            return None, 'without a picture or four numbers'
        x, y, w, h = box['bbox']
        corners, _, reason = fit_box((x, y, x + w, y + h), sizes, CLIP)
        if reason:
            return None, f'with the problem "{reason}"'
        left, top, right, bottom = corners
        if min(right - left, bottom - top) < self.min_size:
            return None, f'below {self.min_size} pixels'
        across, down = self.context * (right - left), self.context * (bottom - top)
        return (
            max(0, math.floor(left - across)),
            max(0, math.floor(top - down)),
            min(math.ceil(sizes[0]), math.ceil(right + across)),
            min(math.ceil(sizes[1]), math.ceil(bottom + down)),
        ), ''

    def _path(self, picture: dict) -> str:
        return os.path.join(self.folder, str(picture['file_name']))

    def _expanded(self) -> str:
        return os.path.expanduser(self.ann_file)


def _log(what: str) -> None:
    print_log(f'UnlabelledImages: {what}.', 'current')
