"""Compare the classes of the detector's heads, the dataset's config and the annotation file."""

import os
from collections.abc import Iterable, Iterator, Sequence

from mmengine.config import Config
from mmengine.fileio import list_from_file

from hsakd_mm.errors import UserError
from hsakd_mm.files import read_text


def classes_of(dataset: dict) -> tuple:
    """Class names of a dataset in label order: ``metainfo.classes``, else those of its type.

    Raises:
        UserError: ``metainfo.classes`` is not a list of names, nor a file of them.
    """
    classes = (dataset.get('metainfo') or {}).get('classes')
    if classes is None:
        from mmdet.registry import DATASETS

        known = DATASETS.get(dataset.get('type', ''))
        return tuple((getattr(known, 'METAINFO', None) or {}).get('classes') or ())
    given = classes
    if isinstance(classes, str):
        if '://' in classes:
            return tuple(list_from_file(classes))
        if not os.path.isfile(classes):
            raise UserError(
                f'metainfo.classes should be a list of names, or a file with one a line, and it is the text '
                f'{classes!r}, which is no file: write one class as classes=({classes!r},), with a comma.'
            )
        try:
            classes = [line.strip() for line in read_text(classes).splitlines() if line.strip()]
        except OSError as error:
            raise UserError(
                f'class names were expected in {classes}, of metainfo.classes, and it cannot be read '
                f'({error.strerror}): mend its permissions or name another file.'
            ) from error
    if (
        not isinstance(classes, list | tuple)
        or not classes
        or not all(name and isinstance(name, str) for name in classes)
    ):
        raise UserError(
            f'metainfo.classes should be a list of names, each a text in quotes, and it is {given!r}: correct it.'
        )
    if twice := [name for name in dict.fromkeys(classes) if list(classes).count(name) > 1]:
        raise UserError(f'metainfo.classes should name each class once, and names {_some(twice)} twice: correct it.')
    return tuple(classes)


def check_heads(cfg: Config, dataset: dict) -> None:
    """Compare the heads' ``num_classes`` with the classes of the dataset.

    Raises:
        UserError: They differ; the message names every such head.
    """
    classes = classes_of(dataset)
    odd = [(name, count) for name, count in _heads(cfg.model) if classes and count != len(classes)]
    if odd:
        keys = ' and '.join(f'{name}.num_classes={len(classes)}' for name, _ in odd)
        raise UserError(
            f'the detector has num_classes={odd[0][1]}, and the dataset in '
            f'{dataset.get("data_root", ".")} names {len(classes)} classes '
            f'({_some(classes, 3)}): set {keys}, or correct metainfo.classes.'
        )


def check_categories(classes: Sequence[str], categories: Sequence[str], path: str) -> list:
    """Compare the classes with a COCO file's categories.

    MMDetection numbers labels in the file's order, not in that of ``metainfo.classes``. If the two
    orders differ, boxes get the names of other classes.

    Returns:
        list[str]: A note on categories that are not used.

    Raises:
        UserError: A class is missing in the file, or the orders differ.
    """
    if not classes:
        return []
    missing = [name for name in classes if name not in categories]
    if missing:
        raise UserError(
            f'the classes {_some(missing)} were expected in {path}, and its categories are '
            f'{_some(categories)}: set metainfo.classes of the dataset to these (and num_classes '
            f'of the heads), or name the annotation file that belongs to the config.'
        )
    used = [name for name in categories if name in classes]
    if used != list(classes):
        raise UserError(
            f'metainfo.classes should have the order of {path}, in which MMDetection numbers '
            f'labels, and has another: set it to ({_some(used, len(used))}).'
        )
    return _left_out(classes, categories, path)


def check_names(classes: Sequence[str], found: Iterable[str], path: str) -> list:
    """Compare the classes with the object names in VOC files, which may be a sample of all files.

    Returns:
        list[str]: A note on names that are not used.

    Raises:
        UserError: No object name is a class.
    """
    found = sorted(found)
    if classes and found and not set(classes) & set(found):
        raise UserError(
            f'objects of the classes {_some(classes)} were expected in the annotations '
            f'that {path} lists, and the objects there are {_some(found)}: correct '
            f'metainfo.classes of the dataset.'
        )
    return _left_out(classes, found, path)


def _left_out(classes: Sequence[str], categories: Iterable[str], path: str) -> list:
    left = [name for name in categories if name not in classes]
    return [f'{path} also has {_some(left)}, which the detector is not trained on.'] if left else []


def _heads(model: dict) -> Iterator:
    """Yields ``('model.roi_head.bbox_head', num_classes)`` for each head that classifies objects."""
    roi = model.get('roi_head') or {}
    for name, head in (
        ('model.bbox_head', model.get('bbox_head')),
        ('model.roi_head.bbox_head', roi.get('bbox_head')),
        ('model.roi_head.mask_head', roi.get('mask_head')),
    ):
        several = isinstance(head, list | tuple)  # Cascade R-CNN's
        for number, each in enumerate(head if isinstance(head, list | tuple) else [head]):
            if each and each.get('num_classes') is not None:
                yield f'{name}.{number}' if several else name, each['num_classes']


def _some(names: Sequence[str], most: int = 6) -> str:
    return ', '.join(map(str, names[:most])) + (', ...' if len(names) > most else '')
