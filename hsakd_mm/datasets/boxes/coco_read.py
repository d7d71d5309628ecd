"""Reads a COCO json, and mends what MMDetection or pycocotools would trip over and only one thing can be meant by.

* ``iscrowd`` is absent: 0. pycocotools needs it.
* ``ignore=1``: ``iscrowd=1``. ``CocoDataset`` would leave the box out, and ``CocoMetric`` count it
  as missed (:mod:`.coco_json`).
* ``area`` is absent or not above 0: width times height. ``CocoDataset`` needs it, and leaves a box
  without area out of training, which ``CocoMetric`` counts as missed.
* The annotation's id is absent, 0 or not a whole number: a new one. pycocotools takes a match with
  the id 0 for none, and cannot store a text.
* A byte order mark is left out; pycocotools cannot read one.
"""

import gc
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from hsakd_mm.errors import UserError
from hsakd_mm.files import read_text

from .checks import first_places
from .coco_json import progress

NEEDED = dict(
    images=('id', 'file_name', 'width', 'height'),
    categories=('id', 'name'),
    annotations=('image_id', 'category_id', 'bbox'),
)
NUMBERS = frozenset((int, float))
_MASK = re.compile(r'"segmentation"\s*:\s*(?:\[[\s\d.,eE+\-\[\]]*\]|\{[^{}]*\})')
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


def read_coco(path: str, masks: bool = True) -> CocoFile:
    """Read a COCO json for detection, and mend it.

    Args:
        path (str): The file.
        masks (bool): Read the masks, which are most of COCO's own files; without, they are None.

    Raises:
        UserError: It cannot be read, lacks a list, or an entry of it lacks what MMDetection needs.
    """
    content, has_mark = _load(path, masks)
    for part, keys in NEEDED.items():
        _check_entries(path, content, part, keys)
    _check_categories(path, content['categories'])
    annotations, mended = _mend(content['annotations'], path)
    if has_mark:
        mended['a byte order mark, which pycocotools cannot read and the copy lacks'] = ['at its start']
    return CocoFile(path, dict(content, annotations=annotations), mended)


def read_pictures(path: str) -> list[dict]:
    """The entries of a COCO json's list "images", as they stand there; nothing else need be in the file.

    Raises:
        UserError: It cannot be read, or an entry has no ``file_name``.
    """
    content, _ = _load(path, masks=False)
    _check_entries(path, content, 'images', ('file_name',))
    return content['images']


def _load(path: str, masks: bool) -> tuple:
    """What a json holds, and whether it begins with a byte order mark."""
    try:
        size = os.path.getsize(path)
        if size > _LARGE:
            print(f'reading {path}: {size / 1e6:.0f} MB', file=sys.stderr)
        with open(path, 'rb') as file:
            has_mark = file.read(3) == b'\xef\xbb\xbf'
        with no_garbage():
            content = _parse(read_text(path), masks)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f'a COCO json was expected at {path}, and it cannot be read '
            f'({getattr(error, "strerror", None) or error}): name another file.'
        ) from error
    return content, has_mark


def _parse(text: str, masks: bool):
    if not masks:
        try:
            return json.loads(_MASK.sub('"segmentation": null', text))
        except ValueError:  # the error's place is the one in the whole text
            pass
    return json.loads(text)


@contextmanager
def no_garbage() -> Iterator:
    """Pause the garbage collector, which takes most of the time where millions of small objects are made."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _check_entries(path: str, content, part: str, keys: Sequence) -> None:
    entries = content.get(part) if isinstance(content, dict) else None
    expected = f'a COCO json for detection was expected at {path}, and'
    if not isinstance(entries, list):
        raise UserError(
            f'{expected} it has no list "{part}" whose entries all have {", ".join(keys)}: name the annotations of '
            f'a training or validation set, or write them with tools/dataset_converters.'
        )
    needed = set(keys)
    lacking = [
        number for number, entry in enumerate(entries, 1) if not (isinstance(entry, dict) and needed <= entry.keys())
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
    is_id, ids, names = kind_of_id([entry['id'] for entry in categories]), set(), set()
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


def kind_of_id(ids: Sequence) -> Callable:
    """A check that an id is a whole number, or, if the first one is a text, a text: numpy mixes the two up."""
    if ids and isinstance(ids[0], str):
        return lambda number: isinstance(number, str)
    return lambda number: is_number(number) and number == int(number) and abs(number) < _BIGGEST_ID


def _mend(annotations: Sequence, path: str) -> tuple:
    """The annotations with what :mod:`.coco_check` says is safe, and places by what was done."""
    mended: dict = {}
    done, without_id = [], []
    used = {0}
    for number, box in enumerate(progress(annotations, len(annotations), path), 1):
        own, area, crowd = box.get('id'), box.get('area'), box.get('iscrowd')
        is_usual = type(own) is int and own and type(area) in NUMBERS and area > 0 and type(crowd) is int
        if is_usual and not box.get('ignore'):  # the rest takes longer
            used.add(own)
            done.append(box)
            continue
        changes: dict = {}
        place = f'annotation {own}' if own is not None else f'annotation number {number}'
        if crowd is None:
            changes['iscrowd'] = 0
            mended.setdefault('annotations without iscrowd, which now have 0', []).append(place)
        elif crowd in ('0', '1'):
            changes['iscrowd'] = int(crowd)
            mended.setdefault('iscrowd as a text, which now is a number', []).append(place)
        if box.get('ignore'):
            changes.update(iscrowd=1, ignore=0)
            mended.setdefault('annotations with ignore=1, which now have iscrowd=1', []).append(place)
        if not (is_number(area) and area > 0) and is_box(box['bbox']) and min(box['bbox'][2:]) > 0:
            changes['area'] = round(box['bbox'][2] * box['bbox'][3], 3)
            mended.setdefault('annotations without an area, which now have that of the box', []).append(place)
        if not is_number(own) or own == 0 or own != int(own):
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


def is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_box(bbox) -> bool:
    return isinstance(bbox, list) and len(bbox) == 4 and all(map(is_number, bbox))
