"""Compares the ground truth that a loader reads with the one that a metric reads."""

import os
from collections import Counter
from collections.abc import Collection

from .checks import first_places


def difference(loaded: dict, measured: dict, classes: Collection) -> str:
    """What differs between two COCO contents, as the end of a sentence; '' if nothing that counts does.

    Images are compared by id and file name (without folders), boxes by image, class, place and
    ``iscrowd``, categories by the order of their names.

    Args:
        loaded (dict): What the loader reads.
        measured (dict): What the metric reads.
        classes (Collection[str]): Other categories do not count; an empty one compares all.
    """
    ours, theirs = _images(loaded), _images(measured)
    if odd := sorted(set(ours) ^ set(theirs), key=str):
        return f'{len(odd)} images are in one of the two only (first id {first_places(odd)})'
    if odd := [number for number in ours if ours[number] != theirs[number]]:
        return f'{len(odd)} images have other files (first {first_places([f"{ours[n]} and {theirs[n]}" for n in odd])})'
    names = [
        [entry['name'] for entry in content['categories'] if not classes or entry['name'] in classes]
        for content in (loaded, measured)
    ]
    if names[0] != names[1]:
        return f'their categories are {", ".join(names[0])} and {", ".join(names[1])}'
    boxes = [_boxes(content, set(names[0])) for content in (loaded, measured)]
    only = list(((boxes[0] - boxes[1]) + (boxes[1] - boxes[0])).elements())
    if only:
        at = [f'{name} {list(bbox)} of image {image}' for image, name, bbox, _ in only]
        return f'{len(only)} boxes are in one of the two only (first {first_places(at)})'
    return ''


def _images(content: dict) -> dict:
    return {image['id']: os.path.basename(image['file_name']) for image in content['images']}


def _boxes(content: dict, names: Collection) -> Counter:
    name = {entry['id']: entry['name'] for entry in content['categories']}
    return Counter(
        (
            box['image_id'],
            name[box['category_id']],
            tuple(round(value, 3) for value in box['bbox']),
            int(box['iscrowd']),
        )
        for box in content['annotations']
        if name[box['category_id']] in names
    )
