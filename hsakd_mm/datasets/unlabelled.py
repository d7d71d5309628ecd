"""Images without labels: a folder of pictures, those that a COCO file lists, or what is in its boxes."""

import os

from mmengine.logging import print_log

from hsakd_mm.errors import UserError
from hsakd_mm.registry import DATASETS

from .boxes.checks import EXTENSIONS
from .boxes.coco_read import read_coco, read_pictures
from .boxes.crops import check_crops, cut_boxes
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
        check_crops(min_size, context)
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
            print_log(
                f'{len(images)} images in {self.folder}; {len(others)} other files are left out, first {others[0]}.',
                'current',
            )
        return [dict(img_path=path) for path in images]

    def _of_pictures(self) -> list[dict]:
        names = dict.fromkeys(str(picture['file_name']) for picture in read_pictures(self._expanded()))  # each once
        return [dict(img_path=os.path.join(self.folder, name)) for name in names]

    def _of_boxes(self) -> list[dict]:
        content = read_coco(self._expanded(), masks=False).content
        return [sample for _, sample in cut_boxes(content, self.folder, self.ann_file, self.min_size, self.context)]

    def _expanded(self) -> str:
        return os.path.expanduser(self.ann_file)
