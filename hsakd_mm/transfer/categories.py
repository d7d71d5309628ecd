"""Do the classes of detector, config and annotation file agree?"""

from collections.abc import Iterable, Iterator, Sequence

from mmengine.config import Config
from mmengine.fileio import list_from_file

from hsakd_mm.errors import UserError


def classes_of(dataset: dict) -> tuple:
    """The classes that a dataset's labels count: its config's, else those of its type."""
    classes = (dataset.get('metainfo') or {}).get('classes')
    if classes is None:
        from mmdet.registry import DATASETS

        known = DATASETS.get(dataset.get('type', ''))
        classes = (getattr(known, 'METAINFO', None) or {}).get('classes') or ()
    return tuple(list_from_file(classes) if isinstance(classes, str) else classes)


def check_heads(cfg: Config, dataset: dict) -> None:
    """The heads' ``num_classes`` against the classes of the dataset.

    Raises:
        UserError: They disagree; every head that does is named.
    """
    classes = classes_of(dataset)
    odd = [(name, count) for name, count in _heads(cfg.model) if classes and count != len(classes)]
    if odd:
        keys = ' and '.join(f'{name}.num_classes={len(classes)}' for name, _ in odd)
        raise UserError(
            f'the detector has num_classes={odd[0][1]}, and the dataset in '
            f'{dataset.get("data_root", ".")} names {len(classes)} classes '
            f'({", ".join(classes[:3])}, ...): set {keys}, or correct metainfo.classes.'
        )


def check_categories(classes: Sequence[str], categories: Sequence[str], path: str) -> list:
    """The classes against a COCO file's categories.

    MMDetection counts labels in the file's order, whatever order ``metainfo.classes`` has, so that
    another order would give every box the name of another class.

    Returns:
        list[str]: A note on categories that are left out.

    Raises:
        UserError: A class is missing in the file, or the order is another.
    """
    if not classes:
        return []
    missing = [name for name in classes if name not in categories]
    if missing:
        raise UserError(
            f'the classes {_some(missing)} were expected in {path}, and its categories are '
            f'{_some(categories)}: set metainfo.classes of the dataset to these (and num_classes '
            f'of the heads), or name the annotation file that goes with the config.'
        )
    used = [name for name in categories if name in classes]
    if used != list(classes):
        raise UserError(
            f'the classes were expected in the order of {path}, by which MMDetection counts '
            f'labels, and metainfo.classes has another: set it to ({_some(used, len(used))}).'
        )
    return _left_out(classes, categories, path)


def check_names(classes: Sequence[str], found: Iterable[str], path: str) -> list:
    """The classes against the names in VOC files, of which perhaps a part was read.

    Returns:
        list[str]: A note on names that are left out.

    Raises:
        UserError: No name is a class.
    """
    found = sorted(found)
    if classes and found and not set(classes) & set(found):
        raise UserError(
            f'objects of the classes {_some(classes)} were expected in the annotations '
            f'that {path} lists, and their names are {_some(found)}: correct '
            f'metainfo.classes of the dataset.'
        )
    return _left_out(classes, found, path)


def _left_out(classes: Sequence[str], categories: Iterable[str], path: str) -> list:
    left = [name for name in categories if name not in classes]
    return [f'{path} also has {_some(left)}, which the detector is not trained on.'] if left else []


def _heads(model: dict) -> Iterator:
    """``('model.roi_head.bbox_head', num_classes)`` of each head that classifies objects."""
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
