"""What is in the boxes of a COCO file, as a classification data set."""

import os

from hsakd_mm.errors import UserError
from hsakd_mm.registry import DATASETS

from .boxes.coco_read import read_coco
from .boxes.crops import check_crops, cut_boxes
from .few_shot import stratified_subset
from .file_set import ImageFileSet
from .same_classes import chosen_classes


@DATASETS.register_module()
class BoxCrops(ImageFileSet):
    """One sample for each box of a COCO file, cut out of the upright picture; labels number its categories.

    A detector's own objects, to train a classifier or a teacher of its classes. The classes are the file's categories
    in the order of their ids, those without a box included. The same crops without labels are
    ``UnlabelledImages(crops=True)``.

    Args:
        data_root (str): Folder of the data.
        ann_file (str): The COCO file, absolute or in ``data_root`` as in MMDetection's configs.
        split (str): Folder of the pictures in ``data_root``, such as 'train2017'.
        min_size, context: As in :class:`.UnlabelledImages`.
        fraction (float): Keep this fraction of each class, drawn with ``split_seed``.
        **kwargs: ``pipeline``, ``non_rgb``, ``verify``, ``metainfo`` … of :class:`.ImageFileSet`;
            ``metainfo['classes']`` chooses and orders the categories.

    Raises:
        UserError: There are no such boxes, a file cannot be used, a chosen class is no category, or ``ann_file`` is no
            COCO file. In distributed runs it is raised on every rank.
    """

    def __init__(
        self, data_root: str, ann_file: str, split: str = '', min_size: int = 32, context: float = 0.1, **kwargs
    ) -> None:
        check_crops(min_size, context)
        self.min_size, self.context = min_size, context
        super().__init__(data_root, split, ann_file=os.path.expanduser(ann_file), **kwargs)

    def load_data_list(self) -> list[dict]:
        samples = super().load_data_list()
        self._metainfo['classes'] = self._classes
        return samples

    def find_samples(self) -> list[dict]:
        content = read_coco(self.ann_file, masks=False).content
        names = {each['id']: str(each['name']) for each in sorted(content['categories'], key=lambda each: each['id'])}
        self._classes = chosen_classes(self._metainfo) or tuple(names.values())
        if absent := sorted(set(self._classes) - set(names.values())):
            raise UserError(
                f'a category {absent[0]!r} was expected in {self.ann_file}, and it has '
                f'{", ".join(map(repr, names.values()))}: correct metainfo.classes.'
            )
        labels = {key: self._classes.index(name) for key, name in names.items() if name in self._classes}
        samples = [
            dict(sample, gt_label=labels[box['category_id']])
            for box, sample in cut_boxes(content, self.folder, self.ann_file, self.min_size, self.context)
            if box['category_id'] in labels
        ]
        if not samples:
            raise UserError(
                f'boxes of at least {self.min_size} pixels were expected in {self.ann_file}, and there are none: set '
                f'data_root, split and ann_file to where the data is.'
            )
        return stratified_subset(samples, [sample['gt_label'] for sample in samples], self.fraction, self.split_seed)
