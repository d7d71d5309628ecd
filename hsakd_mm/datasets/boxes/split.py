"""Splits a COCO json into disjoint parts, such as one for training and one for validation.

Images are assigned class by class, from the rarest to the most frequent. An image goes to a part
that lacks the class, or else to the part that is furthest below its share of the class. The sizes
of the parts are exact. This is iterative stratification (Sechidis et al., 2011) with fixed sizes.
"""

import math
from collections import Counter
from collections.abc import Sequence

from hsakd_mm.errors import UserError

from .subset import draw_order

REST = None  # the part that is not written if the fractions sum to less than 1


def read_fractions(words: Sequence) -> dict:
    """Parse ``['train=0.7', 'val=0.3']``.

    Raises:
        UserError: A word is not NAME=FRACTION, a name occurs twice, or the sum is above 1.
    """
    fractions: dict = {}
    for word in words:
        name, _, value = word.partition('=')
        try:
            fraction = float(value)
        except ValueError:
            fraction = math.nan
        if not name or '/' in name or not 0 < fraction <= 1:
            raise UserError(
                f'--split takes parts such as train=0.7, with a fraction above 0 and up to 1, and one is {word!r}: '
                f'correct it.'
            )
        if name in fractions:
            raise UserError(f'--split names the part {name} twice: give each part one name.')
        fractions[name] = fraction
    if sum(fractions.values()) > 1 + 1e-9:
        raise UserError(
            f'the fractions of --split sum to {sum(fractions.values()):g}, and disjoint parts '
            f'have at most 1 together: make them smaller.'
        )
    return fractions


def split(content: dict, fractions: dict, seed: int = 0) -> dict:
    """Assign every image to at most one part.

    Args:
        content (dict): Checked content of a COCO json (:func:`.coco_check.check_coco`).
        fractions (dict[str, float]): Fraction of each part. If they sum to less than 1, the
            remaining images are in no part.
        seed (int): The split depends on the seed and the images' names only.

    Returns:
        dict[str, dict]: The content of each part. All have all categories.

    Raises:
        UserError: A part would have no image.
    """
    images = draw_order(content['images'], seed)
    free = _sizes(fractions, len(images))
    empty = [name for name in fractions if not free[name]]
    if empty:
        raise UserError(
            f'the part {empty[0]}={fractions[empty[0]]:g} of {len(images)} images has no image: make it larger.'
        )
    classes: dict = {image['id']: set() for image in images}
    for box in content['annotations']:
        classes[box['image_id']].add(box['category_id'])
    part_of: dict = {}
    has: Counter = Counter()  # images by (part, class)
    shares = {name: size / len(images) for name, size in free.items()}
    total = Counter(category for present in classes.values() for category in present)
    for category in [*sorted(total, key=lambda category: (total[category], str(category))), None]:
        for image in images:
            present = classes[image['id']]
            if image['id'] in part_of or (category not in present and category is not None):
                continue
            part = max(
                (name for name in free if free[name]),
                key=lambda name: (
                    name is not REST and category is not None and not has[name, category],
                    shares[name] * total[category] - has[name, category],
                    free[name],
                ),
            )
            part_of[image['id']] = part
            free[part] -= 1
            has.update((part, each) for each in present)
    return {name: _part(content, part_of, name, fractions) for name in fractions}


def absent_classes(parts: dict) -> list:
    """A note for each part that lacks classes of the other parts."""
    categories = next(iter(parts.values()))['categories']
    present = {name: {box['category_id'] for box in part['annotations']} for name, part in parts.items()}
    notes = []
    for name in parts:
        lacking = [
            entry['name'] for entry in categories if entry['id'] in set().union(*present.values()) - present[name]
        ]
        if lacking:
            notes.append(f'{name} has no box of {", ".join(lacking)}, which few images show: try another --seed.')
    return notes


def _sizes(fractions: dict, count: int) -> dict:
    """Number of images of each part, by the largest remainder method."""
    exact = {**fractions, REST: max(0.0, 1 - sum(fractions.values()))}
    exact = {name: round(fraction * count, 6) for name, fraction in exact.items()}
    sizes = {name: int(number) for name, number in exact.items()}
    by_remainder = sorted(exact, key=lambda name: sizes[name] - exact[name])
    for name in by_remainder[: count - sum(sizes.values())]:
        sizes[name] += 1
    return sizes


def _part(content: dict, part_of: dict, name: str, fractions: dict) -> dict:
    return dict(
        content,
        info=dict(content.get('info') or {}, part=dict(name=name, of=fractions)),
        images=[image for image in content['images'] if part_of[image['id']] == name],
        annotations=[box for box in content['annotations'] if part_of[box['image_id']] == name],
    )
