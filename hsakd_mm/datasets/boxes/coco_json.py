"""Checks images with boxes, read from any format, and makes a COCO json of them.

A box that should not be learned (VOC's 'difficult') could be written with either of COCO's two
flags, which MMDetection treats differently:

* ``iscrowd=1``: ``CocoDataset`` keeps the box with ``ignore_flag=1``, in ``ignored_instances``. It
  is never a positive, and if the assigner's ``ignore_iof_thr`` is above 0 it is no negative either
  (by default, -1, it is background). ``CocoMetric`` counts it neither as found nor as missed.
* ``ignore=1``: ``CocoDataset`` leaves the box out, so that its object is background to every
  assigner; and as pycocotools overwrites ``ignore`` with ``iscrowd``, the box counts as missed.

So this module writes ``iscrowd`` and never ``ignore``, which matches what ``VOCDataset`` does with
'difficult'. One difference remains in evaluation: COCO compares a detection with a crowd by the part
of the *detection* that is covered, and a crowd can match any number of detections; ``VOCMetric``
uses the IoU.

MMDetection numbers classes by the order of ``categories`` in the file, not by the order of
``metainfo.classes`` in the config. All files of one conversion have the same categories.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.pool import ThreadPool

from hsakd_mm.errors import UserError
from hsakd_mm.files import read_text

from .checks import (
    DUPLICATE,
    MALFORMED,
    MISSING,
    UNKNOWN,
    UNREADABLE,
    WRONG_SIZE,
    Findings,
    fit_box,
    image_size,
    is_complete,
)

_LOG_EVERY = 5.0  # seconds


@dataclass
class Box:
    """One object: corners ``(x1, y1, x2, y2)`` in pixels from 0; ``place`` is its place in the file."""

    category: str
    corners: tuple
    ignore: bool = False
    place: str = ''


@dataclass
class Annotation:
    """The content of an annotation file: boxes, the image size if given, and unreadable parts."""

    boxes: list = field(default_factory=list)
    size: tuple | None = None
    malformed: list = field(default_factory=list)


@dataclass
class Sample:
    """One image before it is checked.

    Args:
        name (str): Path of the image in the folder that will be ``data_prefix['img']``.
        path (str | None): The image file, or None if there is no image.
        source (str): The annotation file. A second image with the same file is a duplicate.
        read (Callable): ``read((width, height))`` returns the :class:`Annotation` or raises
            :class:`Malformed`.
    """

    name: str
    path: str | None
    source: str
    read: Callable


class Malformed(Exception):
    """An annotation file cannot be used at all: ``Malformed(reason, place)``."""


@dataclass
class Split:
    """Checked images ``dict(file_name, width, height)``, the boxes of each, and the problems."""

    images: list = field(default_factory=list)
    boxes: list = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)


def collect(samples: Sequence, classes: Sequence | None, clip: float, what: str) -> Split:
    """Read and check the annotation of every image.

    Args:
        samples (Sequence[Sample]): All images; they are numbered in this order.
        classes (Sequence[str] | None): The known categories; None accepts all.
        clip (float): See :func:`.checks.fit_box`.
        what (str): Name of the split in the progress messages.
    """
    split, seen = Split(), set()
    with ThreadPool(min(16, 4 * (os.cpu_count() or 1))) as pool:  # a file system may be far away
        results = pool.imap(_load, samples, chunksize=16)
        for sample, loaded in zip(samples, progress(results, len(samples), what)):
            if sample.source in seen:
                split.findings.image(DUPLICATE, sample.path or sample.source)
            elif isinstance(loaded, Malformed):
                split.findings.image(*loaded.args)
            else:
                size, annotation = loaded
                _add(split, sample, size, annotation, classes, clip)
            seen.add(sample.source)
    return split


def progress(results, total: int, what: str) -> Iterator:
    """Pass ``results`` on and print on stderr, every few seconds, how many are done."""
    began = logged = time.monotonic()
    for done, result in enumerate(results, 1):
        yield result
        now = time.monotonic()
        if now - logged > _LOG_EVERY:
            logged = now
            left = (now - began) / done * (total - done)
            print(f'checking {what}: {done}/{total}, {left:.0f} s left', file=sys.stderr)


def to_coco(split: Split, classes: Sequence) -> dict:
    """The content of the json; ids count from 1 in the order of the images and of ``classes``."""
    number = {name: index for index, name in enumerate(classes, 1)}
    images, annotations = [], []
    for image_id, (image, boxes) in enumerate(zip(split.images, split.boxes), 1):
        images.append(dict(id=image_id, **image))
        for box in boxes:
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=number[box.category],
                    **bbox_and_area(box.corners),
                    iscrowd=int(box.ignore),
                )
            )
    return dict(
        images=images, annotations=annotations, categories=[dict(id=index, name=name) for name, index in number.items()]
    )


def bbox_and_area(corners: Sequence) -> dict:
    """``bbox`` [x, y, w, h] and ``area`` in pixels, rounded to 1/1000."""
    x1, y1, x2, y2 = corners
    width, height = round(x2 - x1, 3), round(y2 - y1, 3)
    return dict(bbox=[x1, y1, width, height], area=round(width * height, 3))


def read_classes(words: Sequence | None) -> list | None:
    """Class names from the command line: the names, or one file with a name a line.

    Raises:
        UserError: There is no name, or a name occurs twice, or a file cannot be read.
    """
    if words is None:
        return None
    if len(words) == 1 and os.path.isfile(words[0]):
        words = [line.strip() for line in read_text(words[0]).splitlines() if line.strip()]
    elif len(words) == 1 and words[0].lower().endswith('.txt'):
        raise UserError(f'a file of class names was expected at {words[0]}, and there is none: correct --classes.')
    twice = sorted({name for name in words if list(words).count(name) > 1})
    if twice or not words:
        raise UserError(
            f'class names were expected, each once, and '
            f'{f"{twice[0]} occurs twice" if twice else "there are none"}: '
            f'correct --classes.'
        )
    return list(words)


def _load(sample: Sample) -> tuple | Malformed:
    """``(size, annotation)``, or the problem. Runs in a thread, so it changes nothing shared."""
    if sample.path is None or not os.path.isfile(sample.path):
        return Malformed(MISSING, sample.path or sample.source)
    try:
        size = image_size(sample.path)
    except UserError:
        return Malformed(UNREADABLE, sample.path)
    if not is_complete(sample.path):
        return Malformed(UNREADABLE, sample.path)
    try:
        annotation = sample.read(size)
    except Malformed as error:
        return error
    if annotation.size not in (None, size):
        return Malformed(
            WRONG_SIZE, '{} says {}x{}, the image has {}x{}'.format(sample.source, *annotation.size, *size)
        )
    return size, annotation


def _add(
    split: Split, sample: Sample, size: tuple, annotation: Annotation, classes: Sequence | None, clip: float
) -> None:
    kept, findings = [], split.findings
    seen = set()
    for place in annotation.malformed:
        findings.box(MALFORMED, f'{sample.source}, {place}')
    for box in annotation.boxes:
        corners, clipped, reason = fit_box(box.corners, size, clip)
        if classes is not None and box.category not in classes:
            reason = UNKNOWN
        if reason:
            detail = f' {box.category!r}' if reason == UNKNOWN else ''
            findings.box(reason, f'{sample.source}, {box.place}{detail}')
            continue
        same = box.category, corners, box.ignore
        if same in seen:  # two truths in one place, of which a detector can find one
            findings.repeated.append(f'{sample.source}, {box.place}')
            continue
        seen.add(same)
        findings.clipped += clipped
        kept.append(Box(box.category, corners, box.ignore, box.place))
    split.images.append(dict(file_name=sample.name, width=size[0], height=size[1]))
    split.boxes.append(kept)
