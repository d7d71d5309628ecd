"""Check before training that the detector's data exists and is what the config says."""

import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from mmengine.config import Config
from mmengine.fileio import list_from_file, load

from hsakd_mm.datasets.boxes.shared import shared_images
from hsakd_mm.errors import UserError

from .categories import check_categories, check_heads, check_names, classes_of
from .detector import evaluated_split

CHECK_ALL_UP_TO = 1000  # images of an annotation file whose files are all checked;
SAMPLE = 200  # of more images, this many are checked, evenly spread


def check_data(cfg: Config) -> list:
    """Check the files, images and categories that training and evaluation will read.

    Returns:
        list[str]: Notes on what is unusual but not a mistake.

    Raises:
        UserError: Files are missing, or the classes disagree.
    """
    measure = evaluated_split(cfg)
    loaders = {part: cfg.get(f'{part}_dataloader') or {} for part in ('train', measure) if part}
    parts = {part: list(inner_datasets(loader.get('dataset') or {})) for part, loader in loaders.items()}
    datasets = [dataset for part in parts.values() for dataset in part]
    missing = []
    for dataset in datasets:
        check_heads(cfg, dataset)
        missing += [path for path in _expected(dataset) if not _exists(path)]
    evaluators = cfg.get(f'{measure}_evaluator') or []
    for evaluator in evaluators if isinstance(evaluators, list | tuple) else [evaluators]:
        if evaluator.get('ann_file') and not _exists(evaluator['ann_file']):
            missing.append(evaluator['ann_file'])
    if missing:
        raise _absent(cfg, missing)
    notes: list = []
    images: dict = {part: [] for part in parts}
    for part, members in parts.items():
        for dataset in members:
            said, files = _check_content(cfg, dataset)
            notes += said
            images[part] += files
    return list(dict.fromkeys(notes)) + _shared(parts, images, measure)


def _shared(parts: dict, images: dict, measure: str) -> list:
    """A sentence if some of the images that AP is measured on are training images."""
    chosen = [part for part, members in parts.items() if any(dataset.get('indices') for dataset in members)]
    if not measure or len(chosen) == 2:  # which images `indices` takes is known only once mmdet has filtered them
        return []
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


def _absent(cfg: Config, missing: list, of: str = '') -> UserError:
    missing = list(dict.fromkeys(missing))
    return UserError(
        f"the detector's data is not where {cfg.filename or 'the config'} expects it; absent "
        f'or empty{of}: {", ".join(missing[:6])}{", ..." if len(missing) > 6 else ""} (from '
        f'{os.getcwd()}): put the data or a link there, or set the paths with --cfg-options '
        f'(train_dataloader.dataset.data_root=DIR/ and so on).'
    )


def inner_datasets(dataset: dict) -> Iterator:
    """The innermost datasets of ConcatDataset, RepeatDataset and other wrappers."""
    inner = dataset.get('datasets') or ([dataset['dataset']] if dataset.get('dataset') else [])
    if not inner and dataset:
        yield dataset
    for part in inner:
        yield from inner_datasets(part)


def _expected(dataset: dict) -> Iterator:
    root = dataset.get('data_root') or ''
    if dataset.get('ann_file'):
        yield _join(root, dataset['ann_file'])
    for prefix in (dataset.get('data_prefix') or {}).values():
        folder = _join(root, prefix)
        if _is_voc(dataset):
            yield os.path.join(folder, dataset.get('img_subdir', 'JPEGImages'))
            yield os.path.join(folder, dataset.get('ann_subdir', 'Annotations'))
        else:
            yield folder


def _check_content(cfg: Config, dataset: dict) -> tuple[list, list]:
    """Check the images and categories that the annotation file names; returns notes and image paths."""
    root, ann_file = dataset.get('data_root') or '', dataset.get('ann_file') or ''
    path, prefixes = _join(root, ann_file), dataset.get('data_prefix') or {}
    if not ann_file or '://' in path or any('://' in prefix for prefix in prefixes.values()):
        return [], []  # remote storage, which only mmengine can read
    if _is_voc(dataset):
        folder = _join(root, prefixes.get('sub_data_root', ''))
        return _check_voc(cfg, dataset, path, folder)
    if not path.endswith('.json'):
        return [], []
    try:
        content = load(path)
        images = [image['file_name'] for image in content['images']]
        categories = [category['name'] for category in content['categories']]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f'an annotation file in COCO format was expected at {path}, with images '
            f'and categories, and it cannot be read as one ({type(error).__name__}: {error}): '
            f'write one with tools/dataset_converters.'
        ) from error
    if not images:
        raise UserError(f'images were expected in {path}, and it lists none: correct ann_file.')
    files = [os.path.join(_join(root, prefixes.get('img', '')), name) for name in images]
    looked = _spread(files)
    absent = [file for file in looked if not _exists(file)]
    if absent:
        raise _absent(cfg, absent, f' ({len(absent)} of the {len(looked)} images looked for in {path})')
    return check_categories(classes_of(dataset), categories, path), files


def _check_voc(cfg: Config, dataset: dict, path: str, folder: str) -> tuple[list, list]:
    names = [line.strip() for line in list_from_file(path) if line.strip()]
    if not names:
        raise UserError(f'names of images were expected in {path}, and it lists none: correct ann_file.')
    files = [os.path.join(folder, dataset.get('img_subdir', 'JPEGImages'), f'{name}.jpg') for name in names]
    xml = [os.path.join(folder, dataset.get('ann_subdir', 'Annotations'), f'{name}.xml') for name in _spread(names)]
    absent = [file for file in [*_spread(files), *xml] if not _exists(file)]
    if absent:
        raise _absent(cfg, absent, f' (of the {len(xml)} names looked for in {path})')
    found = {node.text or '' for file in xml for node in ET.parse(file).getroot().iterfind('object/name')}
    return check_names(classes_of(dataset), found, path), files


def _spread(items: list) -> list:
    if len(items) <= CHECK_ALL_UP_TO:
        return items
    return [items[i * (len(items) - 1) // (SAMPLE - 1)] for i in range(SAMPLE)]


def _is_voc(dataset: dict) -> bool:
    return dataset.get('type', '').rpartition('.')[2] in ('VOCDataset', 'XMLDataset')


def _join(root: str, path: str) -> str:
    return path if '://' in path else os.path.join(root, path)


def _exists(path: str) -> bool:
    if '://' in path:
        return True  # remote storage, which only mmengine can read
    if not os.path.isdir(path):
        return os.path.isfile(path) and os.path.getsize(path) > 0
    with os.scandir(path) as entries:
        return next(entries, None) is not None
