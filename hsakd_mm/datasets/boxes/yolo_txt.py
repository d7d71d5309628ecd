"""Reads YOLO's label files: a line ``class cx cy w h`` an object, relative to the image size.

A line with a class and three or more points is a polygon; its box is the polygon's bounding box, as
in Ultralytics. An image without a label file, or with an empty one, has no objects.
"""

import os
from collections.abc import Sequence

import yaml

from hsakd_mm.errors import UserError

from .checks import EXTENSIONS, MALFORMED
from .coco_json import Annotation, Box, Malformed, Sample

SPLITS = ('train', 'val', 'test')


def read_data_yaml(path: str) -> tuple:
    """Read the class names and the places of the images of each split.

    Args:
        path (str): Ultralytics' data.yaml: ``names`` (a list, or a mapping from 0), ``path``, and
            ``train``, ``val``, ``test``: a folder, a file with one image a line, or several.

    Returns:
        tuple: ``names``, and folders and list files by split, ``dict[str, list[str]]``.

    Raises:
        UserError: The file or its names are missing, or the images of a split are not found.
    """
    try:
        with open(path, encoding='utf-8') as file:
            data = yaml.safe_load(file)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
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
    splits = {}
    for split in SPLITS:
        if wanted := data.get(split):
            places = wanted if isinstance(wanted, list) else [wanted]
            splits[split] = [_found(path, data.get('path') or '', place) for place in places]
    if not splits:
        raise UserError(
            f'train, val or test were expected in {path}, and all are missing: add the folder of images of each split.'
        )
    return [str(name) for name in names], splits


def yolo_samples(places: Sequence, names: Sequence, labels: str | None = None) -> tuple:
    """The images of folders or list files, each with a reader of its labels.

    Args:
        places (Sequence[str]): Folders (searched recursively) or list files.
        names (Sequence[str]): The classes.
        labels (str | None): Folder of the label files, with the same sub-folders as the images.
            None uses YOLO's rule: the last ``images`` in a path is replaced by ``labels``; without
            one, labels are beside the images.

    Returns:
        tuple: The samples, and the folder that their names are relative to.
    """
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
        source = os.path.splitext(os.path.join(labels, name) if labels else label_path(path))[0]
        samples.append(_sample(name, path, f'{source}.txt', names))
    known = {os.path.normpath(sample.source) for sample in samples}
    for place in filter(os.path.isdir, places):  # a list may leave labels out; a folder may not
        for source in _files(labels or label_path(os.path.join(place, '')), ('.txt',)):
            if os.path.normpath(source) not in known and _is_label(source):
                samples.append(_sample(source, None, source, names))
    return samples, folder


def read_labels(path: str, size: tuple, names: Sequence) -> Annotation:
    """Read one label file of an image of ``size`` (width, height); boxes are in pixels."""
    try:
        with open(path, encoding='utf-8') as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return Annotation()
    except (OSError, UnicodeDecodeError) as error:
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
        if index != label or not (len(values) == 4 or (len(values) >= 6 and len(values) % 2 == 0)):
            annotation.malformed.append(place)
            continue
        # 'class 10' is in no list of names, so the check reports an unknown category.
        category = names[index] if 0 <= index < len(names) else f'class {index}'
        annotation.boxes.append(Box(category, _corners(values, size), place=place))
    return annotation


def label_path(path: str) -> str:
    """Where YOLO looks for the labels of an image, or of a folder that ends in a slash."""
    head, images, tail = path.rpartition(f'{os.sep}images{os.sep}')
    if images:
        return os.path.join(head, 'labels', tail)
    return os.path.join('labels', path[len('images/') :]) if path.startswith('images/') else path


def _sample(name: str, path: str | None, source: str, names: Sequence) -> Sample:
    return Sample(name, path, source, lambda size: read_labels(source, size, names))


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
        with open(place, encoding='utf-8') as file:
            lines = [line.strip() for line in file if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f'a folder of images, or a file that lists them, was expected at {place}, '
            f'and it cannot be read: correct the path.'
        ) from error
    return [os.path.normpath(os.path.join(os.path.dirname(place), line)) for line in lines]


def _files(folder: str, extensions: Sequence) -> list:
    return sorted(
        os.path.join(base, name)
        for base, _, names in os.walk(folder)
        for name in names
        if os.path.splitext(name)[1].lower() in extensions
    )


def _is_label(path: str) -> bool:
    """Whether a text file has labels and is not a list of classes or a note."""
    with open(path, encoding='utf-8', errors='replace') as file:
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
