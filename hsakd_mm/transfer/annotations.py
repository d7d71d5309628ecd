"""Reads the annotations of a detector's datasets, and checks them and their images before training."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hsakd_mm.datasets.boxes.checks import (
    CLIP,
    EXTENSIONS,
    FAR_OUTSIDE,
    NO_AREA,
    OUTSIDE,
    THIN,
    Findings,
    describe,
    first_places,
)
from hsakd_mm.datasets.boxes.coco_check import check_coco
from hsakd_mm.datasets.boxes.coco_read import CocoFile, no_garbage, read_coco
from hsakd_mm.datasets.boxes.image_files import absent_files, check_files
from hsakd_mm.datasets.boxes.voc_check import check_voc
from hsakd_mm.datasets.boxes.voc_xml import by_stem, image_id
from hsakd_mm.errors import UserError
from hsakd_mm.files import read_text

from .categories import check_categories, check_names, classes_of

CHECK_ALL_UP_TO = 1000  # images of an annotation file that are all decoded;
SAMPLE = 200  # of more images, this many are decoded, evenly spread

# Few boxes of these kinds are no reason to stop: COCO 2017 and VOC have some themselves.
TOLERATED = (NO_AREA, THIN, OUTSIDE, FAR_OUTSIDE)
TOLERATED_SHARE = dict(measured=1e-3, trained=1e-2)  # in training MMDetection leaves them out, or clips them


@dataclass
class Annotations:
    """What is known of one dataset before training.

    Args:
        dataset (dict): Its config.
        path (str): Its annotation file.
        images (list[str]): Paths of its images; empty if the file cannot be read here.
        boxes (Counter): Boxes that count, by class.
        content (dict | None): Of a COCO json.
        notes (list[str]): What is unusual but not a mistake.
    """

    dataset: dict
    path: str = ''
    images: list = field(default_factory=list)
    boxes: Counter = field(default_factory=Counter)
    content: dict | None = None
    notes: list = field(default_factory=list)


class AnnotationFiles:
    """Reads each file once, and remembers what a run should read instead of files that were mended.

    Args:
        absent (Callable): ``absent(paths, of)`` is the error for paths that do not exist.
    """

    def __init__(self, absent: Callable) -> None:
        self.absent = absent
        self.mended: dict[str, dict | str] = {}  # new content by real path
        self._coco: dict[tuple, tuple] = {}

    def coco(self, path: str, masks: bool, use: str = 'measured') -> tuple[CocoFile, dict, list]:
        """A COCO json, its content without unusable boxes, and notes.

        Args:
            path (str): The file.
            masks (bool): Its annotations need masks.
            use (str): 'trained' or 'measured'.

        Raises:
            UserError: It has problems.
        """
        key = os.path.realpath(path), masks
        if key not in self._coco:
            file = read_coco(path, masks)
            if not file.content['images']:
                raise UserError(f'images were expected in {path}, and it lists none: correct ann_file.')
            with no_garbage():
                clean, findings = check_coco(file.content, None, CLIP, masks)
            if file.mended and (masks or key[0] not in self.mended):
                self.mended[key[0]] = file.content
            self._coco[key] = file, clean, findings
        file, clean, findings = self._coco[key]
        notes = _refuse(findings, path, len(file.content['annotations']), 'coco_subset.py', use)
        return file, clean, file.notes() + notes + _repeated(findings, path, use)

    def read(self, dataset: dict, masks: bool = False, use: str = 'measured') -> Annotations:
        """Check the annotation file of a dataset and its images.

        Args:
            dataset (dict): An innermost dataset.
            masks (bool): Its annotations need masks.
            use (str): 'trained' or 'measured'.

        Raises:
            UserError: Annotations or images have problems, or the classes disagree.
        """
        root, ann_file = dataset.get('data_root') or '', dataset.get('ann_file') or ''
        path, prefixes = join(root, ann_file), dataset.get('data_prefix') or {}
        if not ann_file or '://' in path or any('://' in prefix for prefix in prefixes.values()):
            return Annotations(dataset)  # remote storage, which only mmengine can read
        if is_voc(dataset):
            return self._read_voc(dataset, path, join(root, prefixes.get('sub_data_root', '')), use)
        if not path.endswith('.json') or not _is_coco(dataset):
            return Annotations(dataset)
        file, clean, notes = self.coco(path, masks, use)
        categories = {entry['id']: entry['name'] for entry in file.content['categories']}
        classes = classes_of(dataset)
        notes = notes + check_categories(classes, list(categories.values()), path)
        boxes = Counter(categories[box['category_id']] for box in clean['annotations'] if not box['iscrowd'])
        folder = join(root, prefixes.get('img', ''))
        images = file.content['images']
        paths = [os.path.join(folder, image['file_name']) for image in images]
        self._check_images(dataset, paths, [(image['width'], image['height']) for image in images], path)
        return Annotations(dataset, path, paths, boxes, file.content, notes)

    def _read_voc(self, dataset: dict, path: str, folder: str, use: str) -> Annotations:
        image_folder = os.path.join(folder, dataset.get('img_subdir', 'JPEGImages'))
        xml_folder = os.path.join(folder, dataset.get('ann_subdir', 'Annotations'))
        known = by_stem(xml_folder, ('.xml',))
        lines = read_text(path).splitlines()
        names = [image_id(line, known) for line in lines if line.strip()]
        if not names:
            raise UserError(f'names of images were expected in {path}, and it lists none: correct ann_file.')
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise UserError(
                f'each image once was expected in {path}, and {len(twice)} are there more than once (first '
                f'{first_places(twice)}): remove the repetitions.'
            )
        notes = []
        with open(path, encoding='utf-8') as file:  # as MMDetection reads it
            if [line.rstrip('\r\n') for line in file] != names:
                self.mended[os.path.realpath(path)] = '\n'.join(names) + '\n'
                notes.append(f'{path}: only the names of the {len(names)} images were kept.')
        paths = [os.path.join(image_folder, f'{name}.jpg') for name in names]
        xml = [os.path.join(xml_folder, f'{name}.xml') for name in names]
        if absent := absent_files([*paths, *xml]):
            stem = os.path.splitext(os.path.basename(absent[0]))[0]
            others = [*by_stem(image_folder, EXTENSIONS).get(stem, []), *known.get(stem, [])]
            other = [name for name in others if not name.endswith(('.jpg', '.xml'))]
            hint = f'; MMDetection needs .jpg and .xml, and there is {other[0]}: use voc_to_coco.py' if other else ''
            raise self.absent(absent, f' (of the {len(names)} names looked for in {path}{hint})')
        classes = classes_of(dataset)
        read = check_voc(xml, classes, path)
        notes += check_names(classes, set(read.boxes), path)
        notes += _refuse(read.findings, path, read.boxes.total(), 'voc_to_coco.py', use)
        self._check_images(dataset, paths, read.sizes, path)
        return Annotations(dataset, path, paths, read.boxes, None, notes)

    def _check_images(self, dataset: dict, paths: Sequence, sizes: Sequence, path: str) -> None:
        if absent := absent_files(paths):
            raise self.absent(absent, f' ({len(absent)} of the {len(paths)} images looked for in {path})')
        findings = check_files(spread(list(zip(paths, sizes))), path, _turns(dataset))
        tool = 'voc_to_coco.py' if is_voc(dataset) else 'coco_subset.py --images DIR'
        _refuse(findings, path, 0, tool, 'measured')


def _repeated(findings: Findings, path: str, use: str) -> list:
    """A note on boxes that are there twice; whether that was meant, the file cannot say."""
    effect = 'the metric counts them as missed' if use == 'measured' else 'they count once more in training'
    return [
        f'{path}: boxes that repeat another of the same image, class and place: {len(findings.repeated)} '
        f'({first_places(findings.repeated)}); {effect}, and tools/dataset_converters/coco_subset.py leaves them out.'
    ] * bool(findings.repeated)


def spread(items: list) -> list:
    """All items, or a sample from the first to the last of many."""
    if len(items) <= CHECK_ALL_UP_TO:
        return items
    return [items[i * (len(items) - 1) // (SAMPLE - 1)] for i in range(SAMPLE)]


def is_voc(dataset: dict) -> bool:
    return dataset.get('type', '').rpartition('.')[2] in ('VOCDataset', 'XMLDataset')


def join(root: str, path: str) -> str:
    return path if '://' in path else os.path.join(root, path)


def _is_coco(dataset: dict) -> bool:
    """Whether MMDetection reads this dataset's json as detection in COCO's format."""
    from mmdet.registry import DATASETS

    known = DATASETS.get(dataset.get('type', ''))
    names = [base.__name__ for base in known.__mro__] if known else ['CocoDataset']
    return 'CocoDataset' in names and not any('Panoptic' in name or 'LVIS' in name for name in names)


def _turns(dataset: dict) -> bool:
    """Whether the pipeline turns images as their EXIF block says."""
    steps = [step for step in dataset.get('pipeline') or [] if str(step.get('type', '')).endswith('LoadImageFromFile')]
    step = steps[0] if steps else {}
    return step.get('color_type', 'color') in ('color', 'grayscale') and step.get('imdecode_backend', 'cv2') in (
        'cv2',
        'pillow',
    )


def _refuse(findings: Findings, path: str, total: int, tool: str, use: str) -> list:
    """A note on problems that are rare enough to be tolerated.

    Raises:
        UserError: There are others; it lists all.
    """
    few = {
        reason: places
        for reason, places in findings.boxes.items()
        if reason in TOLERATED and len(places) <= TOLERATED_SHARE[use] * total
    }
    if findings.images or len(few) < len(findings.boxes):
        outside = {OUTSIDE, FAR_OUTSIDE, NO_AREA} & set(findings.boxes)
        corners = outside and tool.startswith('coco')
        hint = ' (COCO writes a box as x, y, width, height; are these two corners?)' if corners else ''
        raise UserError(
            f'readable images, and boxes inside them, were expected in {path}, and there are problems with '
            f'{describe(findings)}: correct them{hint}, or write annotations without them with '
            f'tools/dataset_converters/{tool} ... --skip-bad.'
        )
    effect = 'the metric counts them as missed' if use == 'measured' else 'MMDetection leaves out those under a pixel'
    return [
        f'{path}: {describe(Findings(boxes=few))}: under {TOLERATED_SHARE[use]:.1%} of its boxes; {effect}.'
    ] * bool(few)
