"""Check before training that the detector's data exists and is what the config says."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence

from mmengine.config import Config

from hsakd_mm.datasets.boxes.shared import shared_images
from hsakd_mm.errors import UserError

from .annotations import AnnotationFiles, is_voc, join
from .categories import check_heads, classes_of
from .detector import evaluated_split
from .evaluators import check_evaluators, check_same_classes, evaluators_of, needs_masks
from .mended import PARTS, inner_datasets, read_instead, write_copies


def check_data(cfg: Config, *others: Config, mended_in: str = '') -> list:
    """Check the files, images, boxes and categories that training and evaluation will read.

    What is safe to mend (:mod:`hsakd_mm.datasets.boxes.coco_read`) is mended in a copy, and the
    configs are changed to read the copy.

    Args:
        cfg (Config): The detector's.
        *others (Config): Further configs of the same data, which are not checked again.
        mended_in (str): Folder for the copies; without one the configs stay as they are.

    Returns:
        list[str]: Notes on what is unusual but not a mistake, and on what was mended.

    Raises:
        UserError: Files are missing, annotations or images have problems, the classes disagree, or the
            metric reads another truth than the loader.
    """
    measure = evaluated_split(cfg)
    for config in (cfg, *others):
        _read_class_files(config)
    loaders = {part: cfg.get(f'{part}_dataloader') or {} for part in ('train', measure) if part}
    parts = {part: list(inner_datasets(loader.get('dataset') or {})) for part, loader in loaders.items()}
    _check_presence(cfg, parts, measure)
    files = AnnotationFiles(lambda paths, of: _absent(cfg, paths, of))
    known = {
        part: [
            files.read(dataset, needs_masks(dataset, evaluators), 'measured' if part == measure else 'trained')
            for dataset in members
        ]
        for part, members in parts.items()
        for evaluators in [evaluators_of(cfg, part) if part == measure else []]
    }
    check_same_classes(known)
    notes = [note for members in known.values() for each in members for note in each.notes]
    chosen: dict = {}
    if measure:
        chosen, said = check_evaluators(cfg, measure, known[measure], files)
        notes += said
    notes += _rare_classes(known, measure)
    if mended_in and (files.mended or chosen):
        copies = write_copies(files.mended, mended_in)
        read_instead((cfg, *others), copies, {**copies, **write_copies(chosen, mended_in)})
        notes += [f'The run reads the copy {copy} of {path}.' for path, copy in copies.items()]
    return list(dict.fromkeys(notes)) + _shared(parts, known, measure)


def _read_class_files(cfg: Config) -> None:
    """Replace a file of class names by the names; mmengine would keep a byte order mark and empty lines."""
    for part in PARTS:
        for dataset in inner_datasets((cfg.get(f'{part}_dataloader') or {}).get('dataset') or {}):
            if isinstance((dataset.get('metainfo') or {}).get('classes'), str):
                dataset['metainfo']['classes'] = classes_of(dataset)


def _check_presence(cfg: Config, parts: dict, measure: str) -> None:
    missing = []
    for dataset in (dataset for members in parts.values() for dataset in members):
        check_heads(cfg, dataset)
        missing += [path for path in _expected(dataset) if not _exists(path)]
    for evaluator in evaluators_of(cfg, measure):
        if evaluator.get('ann_file') and not _exists(evaluator['ann_file']):
            missing.append(evaluator['ann_file'])
    if missing:
        raise _absent(cfg, missing)


def _rare_classes(known: dict, measure: str) -> list:
    """Notes on classes without a box.

    Raises:
        UserError: There is nothing to learn from.
    """
    notes = []
    for part, members in known.items():
        if not all(each.images for each in members):
            continue  # of some nothing is known
        boxes = sum((each.boxes for each in members), Counter())
        names = classes_of(members[0].dataset) if members else ()
        absent = [name for name in names if not boxes[name]]
        where = ' and '.join(dict.fromkeys(each.path for each in members))
        if not absent:
            continue
        if len(absent) == len(names):
            if part != measure:
                raise UserError(
                    f'boxes to learn from were expected in {where}, and it has none of the classes '
                    f'{_some(names)}: name the annotations of a training set with ann_file.'
                )
            notes.append(f'{where} has no box of any class, so there is nothing to find and no AP.')
        elif part == measure:
            notes.append(f'{where} has no box of {_some(absent)}: the AP is the mean over the other classes.')
        else:
            notes.append(f'{where} has no box of {_some(absent)}, which the detector cannot learn.')
    return notes


def _shared(parts: dict, known: dict, measure: str) -> list:
    """A sentence if some of the images that AP is measured on are training images."""
    chosen = [part for part, members in parts.items() if any(dataset.get('indices') for dataset in members)]
    if not measure or len(chosen) == 2:  # which images `indices` takes is known only once mmdet has filtered them
        return []
    images = {part: [path for each in members for path in each.images] for part, members in known.items()}
    shared = shared_images(images['train'], images[measure])
    if not shared:
        return []
    theirs, ours = shared[0]
    first = theirs if theirs == ours else f'{theirs}, in training {ours}'
    return [
        f'{len(shared)} of the {len(set(images[measure]))} images of the {measure} data are also training images '
        f'(first: {first}), so AP does not measure new images only: make disjoint files with '
        f'tools/dataset_converters/coco_subset.py --split train=0.7 val=0.3.'
    ]


def _absent(cfg: Config, missing: Sequence, of: str = '') -> UserError:
    missing = list(dict.fromkeys(missing))
    return UserError(
        f"the detector's data is not where {cfg.filename or 'the config'} expects it; absent "
        f'or empty{of}: {", ".join(missing[:6])}{", ..." if len(missing) > 6 else ""} (from '
        f'{os.getcwd()}): put the data or a link there, or set the paths with --cfg-options '
        f'(train_dataloader.dataset.data_root=DIR/ and so on).'
    )


def _expected(dataset: dict) -> Iterator:
    root = dataset.get('data_root') or ''
    if dataset.get('ann_file'):
        yield join(root, dataset['ann_file'])
    for prefix in (dataset.get('data_prefix') or {}).values():
        folder = join(root, prefix)
        if is_voc(dataset):
            yield os.path.join(folder, dataset.get('img_subdir', 'JPEGImages'))
            yield os.path.join(folder, dataset.get('ann_subdir', 'Annotations'))
        else:
            yield folder


def _exists(path: str) -> bool:
    if '://' in path:
        return True  # remote storage, which only mmengine can read
    if not os.path.isdir(path):
        return os.path.isfile(path) and os.path.getsize(path) > 0
    with os.scandir(path) as entries:
        return next(entries, None) is not None


def _some(names: Sequence) -> str:
    return ', '.join(names[:6]) + (', ...' if len(names) > 6 else '')
