"""What to cut out of pictures for the boxes of a COCO file."""

import math
import os
from collections import Counter

from mmengine.logging import print_log

from hsakd_mm.errors import UserError

from .checks import CLIP, fit_box
from .coco_read import is_box, is_number


def check_crops(min_size, context) -> None:
    """Raise UserError unless these are numbers that :func:`cut_boxes` takes."""
    if not is_number(min_size) or min_size < 1:
        raise UserError(f'min_size is the least side of a box in pixels, at least 1, and it is {min_size!r}.')
    if not is_number(context) or context < 0:
        raise UserError(f'context is a share of the size of a box, 0 for none, and it is {context!r}.')


def cut_boxes(content: dict, folder: str, source: str, min_size: float, context: float) -> list[tuple[dict, dict]]:
    """The boxes that can be cut out. Those of crowds, small ones and those that MMDetection would not learn from are
    left out; the log counts them.

    Args:
        content (dict): Of the COCO file, as :func:`~.coco_read.read_coco` mends it.
        folder (str): Of the pictures.
        source (str): The file, for the log.
        min_size (float): Least width and height of a box, in pixels.
        context (float): What a crop shows around its box, on each side and within the picture, as a share of the
            box's width and height.

    Returns:
        list[tuple]: The annotation, and the sample: ``img_path``, ``box`` ``(left, top, right, bottom)`` in whole
        pixels, and ``upright_size``, the picture's width and height.
    """
    pictures = {picture['id']: picture for picture in content['images']}
    crops, left_out = [], Counter[str]()
    for box in content['annotations']:
        picture = pictures.get(box['image_id'])
        corners, reason = _corners(box, picture, min_size, context)
        if picture is None or corners is None:
            left_out[reason] += 1
        else:
            path = os.path.join(folder, str(picture['file_name']))
            size = (int(picture['width']), int(picture['height']))
            crops.append((box, dict(img_path=path, box=corners, upright_size=size)))
    said = ', '.join(f'{count} {reason}' for reason, count in left_out.items())
    print_log(f'{len(crops)} crops of boxes in {source}' + (f'; left out: {said}.' if said else '.'), 'current')
    return crops


def _corners(box: dict, picture: dict | None, min_size: float, context: float) -> tuple:
    """What to cut out for a box, or None and why not."""
    if box['iscrowd']:
        return None, 'of crowds'
    sizes = () if picture is None else (picture['width'], picture['height'])
    if not sizes or not is_box(box['bbox']) or not all(map(is_number, sizes)):
        return None, 'without a picture or four numbers'
    x, y, w, h = box['bbox']
    corners, _, reason = fit_box((x, y, x + w, y + h), sizes, CLIP)
    if reason:
        return None, f'with the problem "{reason}"'
    left, top, right, bottom = corners
    if min(right - left, bottom - top) < min_size:
        return None, f'below {min_size} pixels'
    across, down = context * (right - left), context * (bottom - top)
    return (
        max(0, math.floor(left - across)),
        max(0, math.floor(top - down)),
        min(math.ceil(sizes[0]), math.ceil(right + across)),
        min(math.ceil(sizes[1]), math.ceil(bottom + down)),
    ), ''
