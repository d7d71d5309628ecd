"""Reads a COCO json, mends what is safe to mend, and finds what MMDetection or pycocotools would trip over.

The converters and the check before training use the same functions. What is mended, because there is
only one thing that can be meant:

* ``iscrowd`` is absent: 0. pycocotools needs it.
* ``ignore=1``: ``iscrowd=1``. ``CocoDataset`` would leave the box out, and ``CocoMetric`` count it
  as missed (:mod:`.coco_json`).
* ``area`` is absent or not above 0: width times height. ``CocoDataset`` needs it, and leaves a box
  without area out of training, which ``CocoMetric`` counts as missed.
* The annotation's id is absent, 0 or not a whole number: a new one. pycocotools takes a match with
  the id 0 for none, and cannot store a text.
* A byte order mark is left out; pycocotools cannot read one.
"""

import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hsakd_mm.errors import UserError
from hsakd_mm.files import read_text

from .checks import (
    DUPLICATE,
    DUPLICATE_ID,
    MALFORMED,
    MISSING,
    NO_IMAGE,
    NO_MASK,
    UNKNOWN,
    UNREADABLE,
    WRONG_SIZE,
    Findings,
    first_places,
    fit_box,
    image_size,
    is_complete,
)
from .coco_json import bbox_and_area, progress

NEEDED = dict(
    images=('id', 'file_name', 'width', 'height'),
    categories=('id', 'name'),
    annotations=('image_id', 'category_id', 'bbox'),
)
_LARGE = 50_000_000  # bytes of a file whose reading is announced
_BIGGEST_ID = 2**63  # numpy would compare larger ones as fractions


@dataclass
class CocoFile:
    """A COCO json.

    Args:
        path (str): The file.
        content (dict): Its content, mended.
        mended (dict[str, list[str]]): What was mended: places by what was done.
    """

    path: str
    content: dict
    mended: dict = field(default_factory=dict)

    def notes(self) -> list:
        """A sentence for each kind of thing that was mended."""
        return [f'{self.path}: {what}: {len(places)} ({first_places(places)}).' for what, places in self.mended.items()]


def read_coco(path: str) -> CocoFile:
    """Read a COCO json for detection, and mend it.

    Raises:
        UserError: It cannot be read, lacks a list, or an entry of it lacks what MMDetection needs.
    """
    try:
        size = os.path.getsize(path)
        if size > _LARGE:
            print(f'reading {path}: {size / 1e6:.0f} MB', file=sys.stderr)
        with open(path, 'rb') as file:
            has_mark = file.read(3) == b'\xef\xbb\xbf'
        content = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f'a COCO json was expected at {path}, and it cannot be read '
            f'({getattr(error, "strerror", None) or error}): name another file.'
        ) from error
    for part, keys in NEEDED.items():
        _check_entries(path, content, part, keys)
    _check_categories(path, content['categories'])
    annotations, mended = _mend(content['annotations'], path)
    if has_mark:
        mended['a byte order mark, which pycocotools cannot read and the copy lacks'] = ['at its start']
    return CocoFile(path, dict(content, annotations=annotations), mended)


def check_coco(content: dict, images: str | None, clip: float, masks: bool = False) -> tuple:
    """Check every image and box.

    Args:
        content (dict): Of :func:`read_coco`; it is not changed.
        images (str | None): Folder of the image files; None skips checking them.
        clip (float): See :func:`.checks.fit_box`.
        masks (bool): Every annotation needs a mask.

    Returns:
        tuple: The content without the images and boxes that have problems, and
        :class:`.checks.Findings`.
    """
    findings, sizes, files, kept = Findings(), {}, set(), []
    is_image_id, listed = _kind_of_id([image['id'] for image in content['images']]), set()
    for image in progress(content['images'], len(content['images']), 'images'):
        name, number = image['file_name'], image['id']
        if not isinstance(name, str) or not name or not is_image_id(number):
            findings.image(MALFORMED, f'{name!r}, id {number!r}')
            continue
        listed.add(number)
        file = os.path.normpath(name)
        reason = DUPLICATE if number in sizes or file in files else _wrong_image(image, images)
        if reason:
            detail = {DUPLICATE: f', id {number}', MALFORMED: f', {image["width"]!r} x {image["height"]!r}'}
            findings.image(reason, name + detail.get(reason, ''))
            continue
        files.add(file)
        sizes[number] = image['width'], image['height']
        kept.append(image)
    categories, seen, boxes = {entry['id'] for entry in content['categories']}, set(), []
    for box in progress(content['annotations'], len(content['annotations']), 'boxes'):
        number, owner = box['id'], box['image_id']
        if isinstance(owner, list | dict) or owner not in listed:
            findings.box(NO_IMAGE, f'annotation {number}, image_id {owner!r}')
        elif number in seen:
            findings.box(DUPLICATE_ID, f'annotation {number}')
        elif isinstance(box['category_id'], list | dict) or box['category_id'] not in categories:
            findings.box(UNKNOWN, f'annotation {number}, category_id {box["category_id"]!r}')
        elif box['iscrowd'] not in (0, 1):
            findings.box(MALFORMED, f'annotation {number}, iscrowd {box["iscrowd"]!r}')
        elif masks and not _has_mask(box):
            findings.box(NO_MASK, f'annotation {number}')
        elif owner in sizes:  # otherwise its image has a problem
            boxes += _fitted(box, sizes[owner], clip, findings)
        seen.add(number)
    return dict(content, images=kept, annotations=boxes), findings


def _check_entries(path: str, content, part: str, keys: Sequence) -> None:
    entries = content.get(part) if isinstance(content, dict) else None
    expected = f'a COCO json for detection was expected at {path}, and'
    if not isinstance(entries, list):
        raise UserError(
            f'{expected} it has no list "{part}" whose entries all have {", ".join(keys)}: name the annotations of '
            f'a training or validation set, or write them with tools/dataset_converters.'
        )
    lacking = [
        number
        for number, entry in enumerate(entries, 1)
        if not isinstance(entry, dict) or any(k not in entry for k in keys)
    ]
    if lacking:
        first = entries[lacking[0] - 1]
        absent = [key for key in keys if key not in first] if isinstance(first, dict) else ['all']
        raise UserError(
            f'{expected} {len(lacking)} of the {len(entries)} entries in its list "{part}", whose entries all have '
            f'{", ".join(keys)}, do not (first number {first_places(lacking)}, where {", ".join(absent)} is '
            f'missing): add it, or write the file with tools/dataset_converters.'
        )


def _check_categories(path: str, categories: Sequence) -> None:
    is_id, ids, names = _kind_of_id([entry['id'] for entry in categories]), set(), set()
    for entry in categories:
        number, name = entry['id'], entry['name']
        if not isinstance(name, str) or not name or not is_id(number) or number in ids or name in names:
            raise UserError(
                f'categories with a name and a number, each once, were expected in {path}, and one is '
                f'{name!r} with id {number!r}'
                f'{", which occurs twice" if isinstance(name, str) and is_id(number) else ""}: correct it.'
            )
        ids.add(number)
        names.add(name)


def _kind_of_id(ids: Sequence) -> Callable:
    """A check that an id is a whole number, or, if the first one is a text, a text: numpy mixes the two up."""
    if ids and isinstance(ids[0], str):
        return lambda number: isinstance(number, str)
    return lambda number: _is_number(number) and number == int(number) and abs(number) < _BIGGEST_ID


def _mend(annotations: Sequence, path: str) -> tuple:
    """The annotations with what :mod:`.coco_check` says is safe, and places by what was done."""
    mended: dict = {}
    done, without_id = [], []
    used = {0}
    for number, box in enumerate(progress(annotations, len(annotations), path), 1):
        changes: dict = {}
        own = box.get('id')
        place = f'annotation {own}' if own is not None else f'annotation number {number}'
        crowd = box.get('iscrowd')
        if crowd is None:
            changes['iscrowd'] = 0
            mended.setdefault('annotations without iscrowd, which now have 0', []).append(place)
        elif crowd in ('0', '1'):
            changes['iscrowd'] = int(crowd)
            mended.setdefault('iscrowd as a text, which now is a number', []).append(place)
        if box.get('ignore'):
            changes.update(iscrowd=1, ignore=0)
            mended.setdefault('annotations with ignore=1, which now have iscrowd=1', []).append(place)
        area = box.get('area')
        if not (_is_number(area) and area > 0) and _is_box(box['bbox']) and min(box['bbox'][2:]) > 0:
            changes['area'] = round(box['bbox'][2] * box['bbox'][3], 3)
            mended.setdefault('annotations without an area, which now have that of the box', []).append(place)
        if not _is_number(own) or own == 0 or own != int(own):
            without_id.append(len(done))
            mended.setdefault('annotation ids that are absent, 0 or no whole number, which now are new', []).append(
                place
            )
        else:
            used.add(own)
        done.append({**box, **changes} if changes else box)
    fresh = int(max(used))
    for index in without_id:
        fresh += 1
        done[index] = {**done[index], 'id': fresh}
    return done, mended


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_box(bbox) -> bool:
    return isinstance(bbox, list) and len(bbox) == 4 and all(map(_is_number, bbox))


def _has_mask(box: dict) -> bool:
    """Whether LoadAnnotations keeps the mask: a run-length code, or a polygon of three or more points."""
    mask = box.get('segmentation')
    if isinstance(mask, dict):
        return isinstance(mask.get('counts'), list | str) and isinstance(mask.get('size'), list)
    return isinstance(mask, list) and any(
        isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0 and all(map(_is_number, part)) for part in mask
    )


def _wrong_image(image: dict, folder: str | None) -> str | None:
    said = image['width'], image['height']
    if not all(_is_number(side) and side == int(side) and side > 0 for side in said):
        return MALFORMED
    if folder is None:
        return None
    path = os.path.join(folder, image['file_name'])
    if not os.path.isfile(path):
        return MISSING
    try:
        size = image_size(path)
    except UserError:
        return UNREADABLE
    if size != said:
        return WRONG_SIZE
    return None if is_complete(path) else UNREADABLE


def _fitted(box: dict, size: tuple, clip: float, findings: Findings) -> list:
    """A list of the annotation, clipped if necessary, or an empty list."""
    if not _is_box(box['bbox']):
        findings.box(MALFORMED, f'annotation {box["id"]}, bbox {box["bbox"]!r}')
        return []
    x, y, w, h = box['bbox']
    if x >= 0 and y >= 0 and w >= 1 and h >= 1 and x + w <= size[0] and y + h <= size[1]:
        return [box]  # almost every box; the rest takes longer
    corners, clipped, reason = fit_box((x, y, x + w, y + h), size, clip)
    if reason:
        findings.box(reason, f'annotation {box["id"]}, bbox {box["bbox"]}')
        return []
    if not clipped:
        return [box]
    findings.clipped += 1
    fitted = bbox_and_area(corners)
    if box.get('segmentation'):
        fitted.pop('area')  # the area of the mask
    return [dict(box, **fitted)]
