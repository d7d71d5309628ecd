"""Checks of the images and boxes of a detection dataset, and a list of the problems found."""

import io
import math
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from PIL import Image, UnidentifiedImageError

from hsakd_mm.datasets.images import FORMATS, ORIENTATION, orientation, unreadable
from hsakd_mm.datasets.verify import has_end_mark
from hsakd_mm.errors import UserError

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.tif', '.tiff', '.ppm')

MISSING, DUPLICATE, UNREADABLE = 'missing image file', 'duplicate image', 'unreadable image file'
WRONG_SIZE, NO_ANNOTATION = 'size disagrees with the image', 'missing annotation file'
MALFORMED, UNKNOWN = 'malformed annotation', 'unknown category'
NO_IMAGE, DUPLICATE_ID = 'of an image that is not listed', 'duplicate id'
NO_MASK = 'without a mask'
NO_AREA, THIN = 'zero area', 'thinner than 1 pixel'
OUTSIDE, FAR_OUTSIDE = 'outside the image', 'reaches far outside the image'

# YOLO's six decimals are off by less. Clipping so little is neither an error nor counted.
ROUNDING = 0.05  # pixels
CLIP = 0.01  # of a side: a box may reach so far outside its image
_SWAPPED = (5, 6, 7, 8)  # orientations that exchange width and height
_TAIL = 70_000  # bytes; an EXIF block has up to 65,535


@dataclass
class Findings:
    """Problems of one split: places by reason. What is no problem: the number of clipped boxes, and the places of
    boxes that say what another one says already, and were left out."""

    images: dict = field(default_factory=dict)
    boxes: dict = field(default_factory=dict)
    clipped: int = 0
    repeated: list = field(default_factory=list)

    def image(self, reason: str, place: str) -> None:
        self.images.setdefault(reason, []).append(place)

    def box(self, reason: str, place: str) -> None:
        self.boxes.setdefault(reason, []).append(place)

    def add(self, other: 'Findings') -> None:
        for kind in ('images', 'boxes'):
            for reason, places in getattr(other, kind).items():
                getattr(self, kind).setdefault(reason, []).extend(places)
        self.clipped += other.clipped
        self.repeated += other.repeated

    def __bool__(self) -> bool:
        return bool(self.images or self.boxes)


def image_size(path: str) -> tuple:
    """Width and height in pixels of the image as OpenCV loads it, read from the file's header.

    OpenCV turns an image as the orientation in its EXIF block says. Which formats it turns depends on
    its version (5.0: JPEG, PNG, WebP and TIFF), so the installed one is asked.

    Raises:
        UserError: The file is not an image.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            kind = 'JPEG' if image.format == 'MPO' else image.format or ''
            width, height = image.size
            tag = 1
            if kind == 'TIFF':  # PIL turns it itself, in some versions when it is opened
                tags = image.tag_v2
                width, height, tag = tags[256], tags[257], tags.get(ORIENTATION, 1)
            elif 'exif' in image.info:
                tag = orientation(image.info['exif'])
            elif kind == 'PNG':
                tag = orientation(_exif_at_the_end(path))
    except Exception as error:  # a decoder has many ways to fail on bad bytes
        raise unreadable(path, error) from error
    return (height, width) if tag in _SWAPPED and opencv_turns(kind) else (width, height)


def is_complete(path: str) -> bool:
    """Whether the file is not cut off; OpenCV's older versions decode what is there. Unknown formats pass."""
    try:
        with open(path, 'rb') as file, Image.open(file, formats=FORMATS) as image:
            if not has_end_mark(file, image.format):  # bytes behind the mark are harmless and not rare
                file.seek(0)
                with Image.open(file, formats=FORMATS) as again:
                    again.load()
    except UnidentifiedImageError:
        return os.path.getsize(path) > 0
    except Exception:  # a decoder has many ways to fail on bad bytes
        return False
    return True


@cache
def opencv_turns(kind: str) -> bool:
    """Whether the installed OpenCV turns images of this format, such as 'PNG', as their EXIF block says.

    Without OpenCV it is assumed to.
    """
    try:
        import cv2
    except ImportError:
        return True
    exif, file = Image.Exif(), io.BytesIO()
    exif[ORIENTATION] = 6
    Image.new('RGB', (2, 1)).save(file, kind, exif=exif)
    decoded = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    return decoded is not None and decoded.shape[:2] == (2, 1)


def fit_box(corners: Sequence, size: Sequence, clip: float) -> tuple:
    """Clip a box to its image, or say why it cannot be used.

    Boxes thinner than a pixel are rejected because MMDetection treats them inconsistently:
    ``CocoDataset`` leaves them out of training, and ``CocoMetric`` counts them as missed.

    Args:
        corners (Sequence[float]): x1, y1, x2, y2 in pixels, from 0.
        size (Sequence[int]): The image's width and height.
        clip (float): A box may reach outside by this fraction of the image's width or height; one
            pixel is always allowed.

    Returns:
        tuple: ``(corners, was_clipped, None)`` with corners rounded to 1/1000 pixel, or
        ``(None, False, reason)``.
    """
    x1, y1, x2, y2 = corners
    (width, height), reason = size, None
    beyond = max(-x1, x2 - width), max(-y1, y2 - height)
    if not all(map(math.isfinite, corners)):
        reason = MALFORMED
    elif x2 <= x1 or y2 <= y1:
        reason = NO_AREA
    elif x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        reason = OUTSIDE
    elif any(over > max(1, clip * side) + ROUNDING for over, side in zip(beyond, size)):
        reason = FAR_OUTSIDE
    else:
        x1, x2 = (round(min(max(x, 0), width), 3) for x in (x1, x2))
        y1, y2 = (round(min(max(y, 0), height), 3) for y in (y1, y2))
        if min(x2 - x1, y2 - y1) < 1 - 1e-6:
            reason = THIN
    if reason:
        return None, False, reason
    return (x1, y1, x2, y2), max(beyond) > ROUNDING, None


def reject_bad(findings: dict, skip_bad: bool) -> None:
    """Raise an error that lists all problems, unless such images and boxes may be dropped.

    Args:
        findings (dict[str, Findings]): By split.
        skip_bad (bool): ``--skip-bad``.

    Raises:
        UserError: The number of problems by reason, with the first places of each.
    """
    if skip_bad or not any(findings.values()):
        return
    every = Findings()
    for split, found in findings.items():
        for kind in ('images', 'boxes'):
            for reason, places in getattr(found, kind).items():
                getattr(every, kind).setdefault(reason, []).extend(f'{split}: {place}' for place in places)
    raise UserError(
        f'annotations without problems were expected, and there are problems with {describe(every)}: correct '
        f'them, or drop such images and boxes with --skip-bad; nothing was written.'
    )


def describe(findings: Findings) -> str:
    """The number of problems by reason, with the first three places of each."""
    return ', '.join(
        f'{len(places)} {kind if len(places) == 1 else kinds} ({reason}; first {first_places(places)})'
        for kind, kinds, found in (('image', 'images', findings.images), ('box', 'boxes', findings.boxes))
        for reason, places in found.items()
    )


def first_places(places: Sequence) -> str:
    """The first three places, and dots for more."""
    return '; '.join(map(str, places[:3])) + ('; ...' if len(places) > 3 else '')


def _exif_at_the_end(path: str) -> bytes:
    """The EXIF block of a PNG that stands behind its pixels, where PIL sees it only after decoding."""
    with open(path, 'rb') as file:
        file.seek(max(0, os.path.getsize(path) - _TAIL))
        tail = file.read()
    at = tail.rfind(b'eXIf')
    if at < 4:
        return b''
    (length,) = struct.unpack('>I', tail[at - 4 : at])
    data, checksum = tail[at : at + 4 + length], tail[at + 4 + length : at + 8 + length]
    return data[4:] if checksum == zlib.crc32(data).to_bytes(4, 'big') else b''
