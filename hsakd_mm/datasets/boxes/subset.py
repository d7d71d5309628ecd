"""A subset of a COCO json by class, box size and number of images. Ids do not change.

Images are drawn in the order of the hashes of their names with the seed. So the draw is the same on
every machine and for any order in the file, and a draw of 10 images is part of the draw of 20 with
the same seed.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from hsakd_mm.errors import UserError


@dataclass
class Choice:
    """What to keep; None means no restriction.

    Args:
        classes (Sequence[str] | None): Names of categories; the file's order is kept.
        min_area, max_area (float | None): Range of width times height of a box in square pixels,
            both ends included. Other boxes are dropped, so their objects become background.
        drop_empty (bool): Drop images without boxes, or without any left, before the draw.
        max_images (int | None): Maximum number of images.
        fraction (float | None): Fraction of the remaining images, at least one image.
        seed (int): Seed of the draw.
    """

    classes: Sequence | None = None
    min_area: float | None = None
    max_area: float | None = None
    drop_empty: bool = False
    max_images: int | None = None
    fraction: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_images is not None and self.fraction is not None:
            raise UserError('--max-images and --fraction both set the number of images: use one of them.')
        if self.max_images is not None and self.max_images < 1:
            raise UserError(f'--max-images takes a number of 1 or more, and it is {self.max_images}.')
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise UserError(f'--fraction takes a number above 0 and up to 1, and it is {self.fraction:g}.')
        if self.min_area is not None and self.max_area is not None and self.min_area > self.max_area:
            raise UserError(
                f'no box is both at least --min-area {self.min_area:g} and at most '
                f'--max-area {self.max_area:g}: exchange them.'
            )


def subset(content: dict, choice: Choice, source: str = '') -> dict:
    """The chosen subset; ``info.subset`` records the choice.

    Raises:
        UserError: The file lacks a class, or no image is left.
    """
    names = [entry['name'] for entry in content['categories']]
    unknown = [name for name in choice.classes or () if name not in names]
    if unknown:
        raise UserError(
            f'--classes names {", ".join(unknown)}, and the file has '
            f'{", ".join(names[:10])}{", ..." if len(names) > 10 else ""}: correct it.'
        )
    categories = [entry for entry in content['categories'] if choice.classes is None or entry['name'] in choice.classes]
    wanted = {entry['id'] for entry in categories}
    low, high = choice.min_area or 0, choice.max_area
    boxes = [
        box
        for box in content['annotations']
        if box['category_id'] in wanted
        and low <= box['bbox'][2] * box['bbox'][3] <= (float('inf') if high is None else high)
    ]
    filled = {box['image_id'] for box in boxes}
    images = [image for image in content['images'] if image['id'] in filled or not choice.drop_empty]
    if not images:
        raise UserError(
            'no image is left: choose more --classes, a wider range of areas, or keep images without boxes.'
        )
    chosen = {image['id'] for image in _draw(images, choice)}
    info = content.get('info')
    return dict(
        content,
        info=dict(info if isinstance(info, dict) else {}, subset=dict(of=os.path.basename(source), **asdict(choice))),
        images=[image for image in images if image['id'] in chosen],
        annotations=[box for box in boxes if box['image_id'] in chosen],
        categories=categories,
    )


def draw_order(images: Sequence, seed: int) -> list:
    """The images in a random order, which depends on the seed and their names alone."""
    return sorted(images, key=lambda image: hashlib.sha256(f'{seed}\0{image["file_name"]}'.encode()).digest())


def _draw(images: Sequence, choice: Choice) -> Sequence:
    count = len(images)
    if choice.max_images is not None:
        count = choice.max_images
    elif choice.fraction is not None:
        count = max(1, round(choice.fraction * len(images)))
    return draw_order(images, choice.seed)[:count]
