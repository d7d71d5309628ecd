"""Checks of the images and boxes of a detection dataset, and a list of the problems found."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from hsakd_mm.datasets.images import FORMATS, unreadable
from hsakd_mm.errors import UserError

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.tif', '.tiff', '.ppm')

MISSING, DUPLICATE, UNREADABLE = 'missing image file', 'duplicate image', 'unreadable image file'
WRONG_SIZE, NO_ANNOTATION = 'size disagrees with the image', 'missing annotation file'
MALFORMED, UNKNOWN = 'malformed annotation', 'unknown category'
NO_AREA, THIN = 'zero area', 'thinner than 1 pixel'
OUTSIDE, FAR_OUTSIDE = 'outside the image', 'reaches far outside the image'

# YOLO's six decimals are off by less. Clipping so little is neither an error nor counted.
ROUNDING = 0.05  # pixels
_ORIENTATION = 0x0112  # EXIF tag; values from 5 swap width and height


@dataclass
class Findings:
    """Problems of one split: places by reason; and the number of clipped boxes."""

    images: dict = field(default_factory=dict)
    boxes: dict = field(default_factory=dict)
    clipped: int = 0

    def image(self, reason: str, place: str) -> None:
        self.images.setdefault(reason, []).append(place)

    def box(self, reason: str, place: str) -> None:
        self.boxes.setdefault(reason, []).append(place)

    def __bool__(self) -> bool:
        return bool(self.images or self.boxes)


def image_size(path: str) -> tuple:
    """Width and height in pixels, read from the file's header.

    The EXIF orientation of a JPEG is applied, as OpenCV does, with which MMDetection reads images.

    Raises:
        UserError: The file is not an image.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            turned = image.format in ('JPEG', 'MPO') and image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except Exception as error:  # a decoder has many ways to fail on bad bytes
        raise unreadable(path, error) from error
    return (height, width) if turned else (width, height)


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
        UserError: The number of problems by reason, with the first place of each.
    """
    if skip_bad or not any(findings.values()):
        return
    wrong = {}
    for split, found in findings.items():
        for kind, places_by in (('image', found.images), ('box', found.boxes)):
            for reason, places in places_by.items():
                wrong.setdefault((kind, reason), []).extend(f'{split}: {at}' for at in places)
    parts = [
        f'{len(places)} {_plural(kind, len(places))} ({reason}; first {places[0]})'
        for (kind, reason), places in wrong.items()
    ]
    raise UserError(
        f'annotations without problems were expected, and there are problems with '
        f'{", ".join(parts)}: correct them, or drop such images and boxes with --skip-bad; '
        f'nothing was written.'
    )


def _plural(kind: str, count: int) -> str:
    return kind if count == 1 else dict(image='images', box='boxes')[kind]
