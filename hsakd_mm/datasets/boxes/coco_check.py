"""Finds what MMDetection or pycocotools would trip over, or count wrongly in silence, in a COCO json.

The converters and the check before training use the same functions.
"""

import os

from hsakd_mm.errors import UserError

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
    fit_box,
    image_size,
    is_complete,
)
from .coco_json import bbox_and_area, progress
from .coco_read import NUMBERS, is_box, is_number, kind_of_id


def check_coco(content: dict, images: str | None, clip: float, masks: bool = False) -> tuple:
    """Check every image and box.

    Args:
        content (dict): Of :func:`.coco_read.read_coco`; it is not changed.
        images (str | None): Folder of the image files; None skips checking them.
        clip (float): See :func:`.checks.fit_box`.
        masks (bool): Every annotation needs a mask.

    Returns:
        tuple: The content without the images and boxes that have problems and without repeated boxes, and
        :class:`.checks.Findings`.
    """
    findings, sizes, files, kept = Findings(), {}, set(), []
    is_image_id, listed = kind_of_id([image['id'] for image in content['images']]), set()
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
        number, owner, category = box['id'], box['image_id'], box['category_id']
        if isinstance(owner, list | dict) or owner not in listed:
            findings.box(NO_IMAGE, f'annotation {number}, image_id {owner!r}')
        elif number in seen:
            findings.box(DUPLICATE_ID, f'annotation {number}')
        elif isinstance(category, list | dict) or category not in categories:
            findings.box(UNKNOWN, f'annotation {number}, category_id {category!r}')
        elif box['iscrowd'] not in (0, 1):
            findings.box(MALFORMED, f'annotation {number}, iscrowd {box["iscrowd"]!r}')
        elif masks and not _has_mask(box):
            findings.box(NO_MASK, f'annotation {number}')
        elif owner in sizes:  # otherwise its image has a problem
            if _is_inside(box['bbox'], *sizes[owner]):
                boxes.append(box)
            else:
                boxes += _fitted(box, sizes[owner], clip, findings)
        seen.add(number)
    return dict(content, images=kept, annotations=_without_repeated(boxes, findings)), findings


def _without_repeated(boxes: list, findings: Findings) -> list:
    """The first of boxes with the same image, category, place and mask: a detector can find only one of them."""
    kept, first = [], {}
    for box in boxes:
        key = box['image_id'], box['category_id'], box['iscrowd'], *box['bbox']
        same = first.setdefault(key, box)
        if same is not box and same.get('segmentation') == box.get('segmentation'):
            findings.repeated.append(f'annotation {box["id"]}')
        else:
            kept.append(box)
    return kept


def _has_mask(box: dict) -> bool:
    """Whether LoadAnnotations keeps the mask: a run-length code, or a polygon of three or more points."""
    mask = box.get('segmentation')
    if isinstance(mask, dict):
        return isinstance(mask.get('counts'), list | str) and isinstance(mask.get('size'), list)
    return isinstance(mask, list) and any(
        isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0 and all(map(is_number, part)) for part in mask
    )


def _wrong_image(image: dict, folder: str | None) -> str | None:
    said = image['width'], image['height']
    if not all(is_number(side) and side == int(side) and side > 0 for side in said):
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


def _is_inside(bbox, width: float, height: float) -> bool:
    """Whether nothing is wrong with a box, as with almost every one; the rest takes longer."""
    if type(bbox) is not list or len(bbox) != 4 or not NUMBERS.issuperset(map(type, bbox)):
        return False
    x, y, w, h = bbox
    return x >= 0 and y >= 0 and w >= 1 and h >= 1 and x + w <= width and y + h <= height


def _fitted(box: dict, size: tuple, clip: float, findings: Findings) -> list:
    """A list of the annotation, clipped if necessary, or an empty list."""
    bbox = box['bbox']
    if not is_box(bbox):
        findings.box(MALFORMED, f'annotation {box["id"]}, bbox {bbox!r}')
        return []
    x, y, w, h = bbox
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
