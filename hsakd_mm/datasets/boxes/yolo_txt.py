"""Reads YOLO's label files: a line ``class cx cy w h`` an object, relative to the image size.

A line with a class and three or more points is a polygon; its box is the polygon's bounding box, as
in Ultralytics. If ``data.yaml`` has ``kpt_shape``, a line is a box and that many keypoints, which are
left out. Without ``kpt_shape``, a line whose length or visibility flags (0, 1 or 2 in every third
place) show that it is a box with keypoints is a problem, and so is one with a score. An image without
a label file, or with an empty one, has no objects.
"""

import os
from collections.abc import Sequence
from functools import cache

import yaml

from hsakd_mm.datasets.images import is_hidden
from hsakd_mm.errors import UserError
from hsakd_mm.files import read_text

from .checks import EXTENSIONS, MALFORMED
from .coco_json import Annotation, Box, Malformed, Sample

SPLITS = ('train', 'val', 'test')


def read_data_yaml(path: str) -> tuple:
    """Read the class names and the places of the images of each split.

    Args:
        path (str): Ultralytics' data.yaml: ``names`` (a list, or a mapping from 0), ``path``, and
            ``train``, ``val``, ``test``: a folder, a file with one image a line, or several.

    Returns:
        tuple: ``names``; folders and list files by split, ``dict[str, list[str]]``; and the number of
        values of an object's keypoints, 0 without ``kpt_shape``.

    Raises:
        UserError: The file or its names are missing, or the images of a split are not found.
    """
    try:
        data = yaml.safe_load(read_text(path))
    except (OSError, yaml.YAMLError) as error:
        reason = getattr(error, 'strerror', None) or ' '.join(str(error).split())[:160]
        raise UserError(
            f"YOLO's data.yaml was expected at {path}, and it cannot be read "
            f'({reason}): name the file, or use --images and --labels.'
        ) from error
    names = data.get('names') if isinstance(data, dict) else None
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names or len(set(map(str, names))) < len(names):
        raise UserError(
            f'class names, each once, were expected in {path} under `names` as a list '
            f'or a mapping from 0, and there are none: add them.'
        )
    for name in names:
        if isinstance(name, bool) or not isinstance(name, str | int | float):
            raise UserError(
                f'class names were expected in {path} under `names`, and YAML reads one as {name!r}: put it in quotes.'
            )
    splits = {}
    for split in SPLITS:
        if wanted := data.get(split):
            places = wanted if isinstance(wanted, list) else [wanted]
            splits[split] = [_found(path, data.get('path') or '', place) for place in places]
    if not splits:
        raise UserError(
            f'train, val or test were expected in {path}, and all are missing: add the folder of images of each split.'
        )
    return [str(name) for name in names], splits, _keypoint_values(path, data.get('kpt_shape'))


def yolo_samples(places: Sequence, names: Sequence, labels: str | None = None, keypoints: int = 0) -> tuple:
    """The images of folders or list files, each with a reader of its labels.

    Args:
        places (Sequence[str]): Folders (searched recursively) or list files.
        names (Sequence[str]): The classes.
        labels (str | None): Folder of the label files, with the same sub-folders as the images.
            None uses YOLO's rule: the last ``images`` in a path is replaced by ``labels``; without
            one, labels are beside the images.
        keypoints (int): Number of values behind each box (:func:`read_data_yaml`).

    Returns:
        tuple: The samples, and the folder that their names are relative to.
    """
    listed = cache(_text_files)
    samples, paths = [], [image for place in places for image in _images(place)]
    if not paths:
        raise UserError(
            f'images were expected at {", ".join(places)}, and there are none: name the folder that holds them.'
        )
    folder = places[0]
    if len(places) > 1 or not os.path.isdir(folder):
        folder = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
    for path in paths:
        name = os.path.relpath(path, folder)
        place, stem = os.path.split(os.path.splitext(os.path.join(labels, name) if labels else label_path(path))[0])
        source = os.path.join(place, listed(place).get(stem, f'{stem}.txt'))
        samples.append(_sample(name, path, source, names, keypoints))
    known = {os.path.normpath(sample.source) for sample in samples}
    for place in filter(os.path.isdir, places):  # a list may leave labels out; a folder may not
        for source in _files(labels or label_path(os.path.join(place, '')), ('.txt',)):
            if os.path.normpath(source) not in known and _is_label(source):
                samples.append(_sample(source, None, source, names, keypoints))
    return samples, folder


def check_labelled(samples: Sequence, split: str) -> None:
    """Raise an error if no image of a split has a label file: they are probably somewhere else.

    Raises:
        UserError: Names the first file that was looked for.
    """
    if not any(os.path.isfile(sample.source) for sample in samples):
        raise UserError(
            f'label files were expected beside the images of {split}, and none of the {len(samples)} images has one '
            f'(looked for {samples[0].source}): name their folder with --images and --labels, leave the split '
            f'out with --splits, or add --allow-unlabelled if no image shows an object.'
        )


def read_labels(path: str, size: tuple, names: Sequence, keypoints: int = 0) -> Annotation:
    """Read one label file of an image of ``size`` (width, height); boxes are in pixels."""
    try:
        lines = read_text(path).splitlines()
    except FileNotFoundError:
        return Annotation()
    except (OSError, UserError) as error:
        raise Malformed(MALFORMED, f'{path} ({error})') from error
    annotation = Annotation()
    for number, line in enumerate(lines, 1):
        place, words = f'line {number}', line.split()
        if not words:
            continue
        try:
            label, *values = map(float, words)
            index = int(label)
        except (ValueError, OverflowError):
            annotation.malformed.append(place)
            continue
        if problem := _wrong_row(label, values, keypoints):
            annotation.malformed.append(place + problem)
            continue
        if keypoints:
            values = values[:4]
        category = names[index] if 0 <= index < len(names) else _no_name(index, names)
        annotation.boxes.append(Box(category, _corners(values, size), place=place))
    return annotation


def _wrong_row(label: float, values: Sequence, keypoints: int) -> str | None:
    """What is wrong with a line, '' if that cannot be named; None if it can be read."""
    count = len(values)
    if label != int(label):
        return ': its class is no whole number'
    if keypoints:
        return None if count == 4 + keypoints else f': {count} values for a box and {keypoints} of keypoints'
    if count == 4:
        return None
    if count == 5:
        return ': a box with a score, as in detections'
    flagged = count % 3 == 1 and all(flag in (0, 1, 2) for flag in values[6::3])
    cx, cy, w, h = values[:4] if count > 5 else (0, 0, 0, 0)
    inside = min(cx - w / 2, cy - h / 2) > -0.01 and max(cx + w / 2, cy + h / 2) < 1.01
    if count > 5 and (count % 2 or (flagged and inside)):
        return ': a box with keypoints, for which data.yaml needs kpt_shape'
    return None if count >= 6 else f': {count} values where a box has 4'


def _no_name(index: int, names: Sequence) -> str:
    """What an index without a name is called, in no list of names, so that the check reports an unknown category."""
    text = f'class {index}'
    while text in names:  # a class may be named so
        text = f'unnamed {text}'
    return text


def label_path(path: str) -> str:
    """Where YOLO looks for the labels of an image, or of a folder that ends in a slash."""
    head, images, tail = path.rpartition(f'{os.sep}images{os.sep}')
    if images:
        return os.path.join(head, 'labels', tail)
    return os.path.join('labels', path[len('images/') :]) if path.startswith('images/') else path


def _sample(name: str, path: str | None, source: str, names: Sequence, keypoints: int) -> Sample:
    return Sample(name, path, source, lambda size: read_labels(source, size, names, keypoints))


def _keypoint_values(path: str, shape) -> int:
    if shape is None:
        return 0
    if not isinstance(shape, list) or len(shape) != 2 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise UserError(f'kpt_shape in {path} should be [keypoints, 2 or 3], and it is {shape!r}: correct it.')
    return shape[0] * shape[1]


def _text_files(folder: str) -> dict:
    """File names with the ending .txt in any case, by stem; .txt comes first."""
    try:
        names = sorted(os.listdir(folder or '.'))
    except OSError:
        return {}
    parts = [os.path.splitext(name) for name in names]
    return {stem: stem + ending for stem, ending in parts if ending.lower() == '.txt'}


def _corners(values: Sequence, size: tuple) -> tuple:
    width, height = size
    if len(values) == 4:
        cx, cy, w, h = values
        x1, y1, x2, y2 = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
    else:
        xs, ys = values[0::2], values[1::2]
        x1, y1, x2, y2 = min(xs), min(ys), max(xs), max(ys)
    return x1 * width, y1 * height, x2 * width, y2 * height


def _images(place: str) -> list:
    if os.path.isdir(place):
        return _files(place, EXTENSIONS)
    try:
        lines = [line.strip() for line in read_text(place).splitlines() if line.strip()]
    except OSError as error:
        raise UserError(
            f'a folder of images, or a file that lists them, was expected at {place}, '
            f'and it cannot be read: correct the path.'
        ) from error
    return [os.path.normpath(os.path.join(os.path.dirname(place), line)) for line in lines]


def _files(folder: str, extensions: Sequence) -> list:
    found = []
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        found += [
            os.path.join(base, name)
            for name in names
            if os.path.splitext(name)[1].lower() in extensions and not is_hidden(name)
        ]
    return sorted(found)


def _is_label(path: str) -> bool:
    """Whether a text file has labels and is not a list of classes or a note."""
    with open(path, encoding='utf-8-sig', errors='replace') as file:
        words = file.readline().split()
    return not words or (words[0].replace('.', '', 1).isdigit() and len(words) > 1)


def _found(yaml_path: str, root: str, place: str) -> str:
    """Find the images of a split. ``path`` may be of another machine, and Roboflow writes one ``../`` too many."""
    here = os.path.dirname(yaml_path)
    candidates = [os.path.join(here, base, part) for base in (root, '') for part in (place, place.removeprefix('../'))]
    for path in candidates:
        if os.path.exists(path):
            return os.path.normpath(path)
    raise UserError(
        f'{yaml_path} gives {place} as a place of images, and {candidates[0]} does not exist: '
        f'correct `path` or the split in the file.'
    )
