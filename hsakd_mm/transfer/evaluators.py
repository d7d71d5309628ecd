"""Checks that the measured split's loader, its metric and our record read the same truth."""

import os
from collections.abc import Sequence
from typing import Any

from mmengine.config import Config

from hsakd_mm.datasets.boxes.same_truth import difference
from hsakd_mm.errors import UserError
from hsakd_mm.registry import type_name

from .annotations import AnnotationFiles, Annotations, is_voc
from .categories import classes_of

_MOVES = ('Resize', 'Flip', 'Crop', 'Rotate', 'Affine', 'Expand', 'Mosaic', 'Shear', 'Translate')


def evaluators_of(cfg: Config, part: str) -> list:
    """The metrics of a split, as a list; those inside of an ``Evaluator`` where the config names one."""
    found: Any = cfg.get(f'{part}_evaluator') or []
    if is_wrapper(found):
        found = found['metrics']
    return list(found) if isinstance(found, list | tuple) else [found]


def is_wrapper(evaluator) -> bool:
    """Whether a config is of an ``Evaluator`` around metrics, by mmengine's own rule."""
    return isinstance(evaluator, dict) and 'metrics' in evaluator


def is_kind(config: dict, *kinds: str) -> bool:
    """Whether a config is of one of these classes, by name, with or without that of a registry, or by the class."""
    return type_name(config.get('type', '')) in kinds


def needs_masks(dataset: dict, evaluators: Sequence = ()) -> bool:
    """Whether a pipeline or a metric reads masks."""
    metrics = [metric for evaluator in evaluators for metric in _listed(evaluator.get('metric'))]
    return 'segm' in metrics or any(step.get('with_mask') for step in dataset.get('pipeline') or [])


def check_evaluators(cfg: Config, part: str, measured: Sequence[Annotations], files: AnnotationFiles) -> tuple:
    """Check the evaluators of the split ``part`` against the datasets of its loader.

    ``CocoMetric`` reads its own annotation file, and counts every image of it; images that the loader
    leaves out would count as missed. If ``indices`` chooses some images, the metric gets a copy of
    the file with these.

    Args:
        cfg (Config): The detector's.
        part (str): 'val' or 'test'.
        measured (Sequence[Annotations]): The datasets of its loader.
        files (AnnotationFiles): To read the metric's file with.

    Returns:
        tuple[dict, list[str]]: The content that ``CocoMetric`` should read instead of its file, by real
        path; and notes.

    Raises:
        UserError: They read different truths, or the evaluators measure nothing.
    """
    evaluators = evaluators_of(cfg, part)
    coco = [evaluator for evaluator in evaluators if is_kind(evaluator, 'CocoMetric')]
    for evaluator in evaluators:
        if evaluator.get('format_only'):
            raise UserError(
                f'{part}_evaluator should measure an AP, and format_only=True only writes the detections: set '
                f'{part}_evaluator.format_only=False.'
            )
    for known in measured:
        _check_loader(known.dataset, part, evaluators)
    _check_wrappers(cfg[f'{part}_dataloader'].get('dataset') or {}, part)
    copies, notes = {}, []
    for evaluator in coco:
        path = evaluator.get('ann_file')
        if path and any(is_voc(known.dataset) for known in measured):
            raise UserError(
                f'{part}_dataloader reads the XML files of Pascal VOC, and CocoMetric reads {path}, where images have '
                f'other ids: use VOCMetric, or convert the data with tools/dataset_converters/voc_to_coco.py.'
            )
        if not path or '://' in path or any(known.content is None for known in measured):
            continue
        copy, said = _compare(path, part, measured, files, needs_masks({}, [evaluator]))
        notes += said
        if copy:
            copies[os.path.realpath(path)] = copy
    return copies, notes


def check_same_classes(parts: dict) -> None:
    """Compare the classes of the training and the measured datasets: labels are numbered by them.

    Args:
        parts (dict[str, list[Annotations]]): By split.

    Raises:
        UserError: They differ.
    """
    first: tuple = ()
    for part, known in ((part, known) for part, members in parts.items() for known in members):
        classes = classes_of(known.dataset)
        if first and classes and classes != first[1]:
            raise UserError(
                f'the classes of all datasets should be the same and in the same order, which numbers the labels; in '
                f'{first[0]} they are {_some(first[1])} and in {part} {_some(classes)}: correct metainfo.classes, '
                f'and write both annotation files with the same categories.'
            )
        first = first or ((part, classes) if classes else ())


def _check_loader(dataset: dict, part: str, evaluators: Sequence) -> None:
    steps = [step for step in dataset.get('pipeline') or [] if isinstance(step, dict)]
    names = [str(step.get('type', '')).rpartition('.')[2] for step in steps]
    where = f'{part}_dataloader.dataset'
    if dataset.get('filter_cfg') and not dataset.get('test_mode'):
        raise UserError(
            f'all images of the {part} data should be measured, and filter_cfg leaves some out: set '
            f'{where}.test_mode=True and {where}.filter_cfg=None.'
        )
    if (dataset.get('filter_cfg') or {}).get('bbox_min_size'):
        raise UserError(
            f'bbox_min_size is for training, and {where} has it, where MMDetection stops: set {where}.filter_cfg=None.'
        )
    if 'LoadAnnotations' in names:
        later = names[names.index('LoadAnnotations') + 1 :]
        if moved := [name for name in later if any(move in name for move in _MOVES)]:
            raise UserError(
                f'boxes of the {part} data are compared in pixels of the original image, and its pipeline has '
                f'{moved[0]} behind LoadAnnotations, which moves the boxes: put LoadAnnotations behind it.'
            )
    elif any(is_kind(evaluator, 'VOCMetric') for evaluator in evaluators):
        raise UserError(
            f'VOCMetric compares with the boxes that the pipeline loads, and that of {where} has no LoadAnnotations: '
            f"add dict(type='LoadAnnotations', with_bbox=True) behind Resize."
        )
    pack = next((step for step, name in zip(steps, names) if name == 'PackDetInputs'), {})
    own_truth = any(is_kind(evaluator, 'CocoMetric') and not evaluator.get('ann_file') for evaluator in evaluators)
    if own_truth and 'instances' not in (pack.get('meta_keys') or ()):
        raise UserError(
            f'CocoMetric needs the truth, and {part}_evaluator names no ann_file: set {part}_evaluator.ann_file to the '
            f"annotation file of {where}, or add 'instances' to the meta_keys of its PackDetInputs."
        )


def _check_wrappers(dataset: dict, part: str) -> None:
    kind = str(dataset.get('type', '')).rpartition('.')[2]
    if kind in ('RepeatDataset', 'ClassBalancedDataset') or (kind == 'ConcatDataset' and dataset.get('indices')):
        raise UserError(
            f'each image of the {part} data should be measured once, and its {kind} repeats or chooses images: use the '
            f'dataset inside it.'
        )
    for inner in [*(dataset.get('datasets') or []), *filter(None, [dataset.get('dataset')])]:
        _check_wrappers(inner, part)


def _compare(path: str, part: str, measured: Sequence, files: AnnotationFiles, masks: bool) -> tuple:
    file, _, notes = files.coco(path, masks)
    loaded, paths = measured[0].content, [known.path for known in measured]
    if len(measured) > 1:
        loaded = _together(measured, part)
    if [os.path.realpath(path)] != list(map(os.path.realpath, paths)):
        odd = difference(loaded, file.content, classes_of(measured[0].dataset))
        if odd:
            raise UserError(
                f'{part}_evaluator.ann_file should hold what {part}_dataloader loads, and {path} is not '
                f'{" and ".join(paths)}: {odd}. Set {part}_evaluator.ann_file to the annotation file of the loader.'
            )
    indices = [known.dataset.get('indices') for known in measured]
    if all(chosen is None for chosen in indices):
        return None, notes
    if len(measured) > 1:
        raise UserError(
            f'indices choose some images of the {part} data, and {path} has those of several datasets: write files of '
            f'fewer images with tools/dataset_converters/coco_subset.py --max-images.'
        )
    copy = _chosen(file.content, indices[0])
    count, total = len(copy['images']), len(file.content['images'])
    return copy, [*notes, f'indices: {count} of the {total} images of {path} are measured, which CocoMetric counts.']


def _together(measured: Sequence, part: str) -> dict:
    images = [image for known in measured for image in known.content['images']]
    if len({image['id'] for image in images}) < len(images):
        raise UserError(
            f'an image is known by its id, and the files {" and ".join(known.path for known in measured)} of the '
            f'{part} data use the same ids: write one file of all, with an id for each image.'
        )
    boxes = [box for known in measured for box in known.content['annotations']]
    return dict(measured[0].content, images=images, annotations=boxes)


def _chosen(content: dict, indices) -> dict:
    """The images that ``indices`` of mmengine's BaseDataset takes: the first, the last, or those named."""
    images = content['images']
    if isinstance(indices, int):
        images = images[:indices] if indices >= 0 else images[indices:]
    else:
        images = [images[number] for number in indices]
    kept = {image['id'] for image in images}
    return dict(content, images=images, annotations=[box for box in content['annotations'] if box['image_id'] in kept])


def _listed(value) -> list:
    return list(value) if isinstance(value, list | tuple) else [value]


def _some(names: Sequence) -> str:
    return ', '.join(map(str, names[:6])) + (', ...' if len(names) > 6 else '')
