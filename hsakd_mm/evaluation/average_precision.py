"""COCO's average precision from a record of detections, for any weighting of the test images.

A detection's match depends on its own image only. So matching and sorting are done once, and a
bootstrap resample, in which image i occurs ``weights[i]`` times, is a few cumulative sums. The
result is that of pycocotools' ``COCOeval`` for boxes, on a data set with those repetitions.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREAS = dict(all=(0, 1e10), S=(0, 32**2), M=(32**2, 96**2), L=(96**2, 1e10))  # pixels, inclusive
MOST = 100  # detections of a class in an image that count


class Matches:
    """A detector's detections, matched to the ground truth and sorted.

    Ignored ground truth is treated as COCO does a crowd: it is not to be found, what lies inside
    it counts neither way, and it can take several detections.

    Args:
        record (dict): As :class:`.records.DetectionRecords` writes it.
        area (str): ``all``, ``S``, ``M`` or ``L``: only objects of that size, by their boxes.
            (COCO goes by the area of masks, where there are masks.)
    """

    def __init__(self, record: dict, area: str = 'all') -> None:
        self.classes = list(record['classes'])
        self.images = [image['id'] for image in record['images']]
        place = {image: number for number, image in enumerate(self.images)}
        truth, found = (_by_class_and_image(record[part], place) for part in ('truth', 'found'))
        self._flatten([_match_class(truth[label], found[label], AREAS[area]) for label in range(len(self.classes))])

    def _flatten(self, parts: list) -> None:
        """Keep what :meth:`precision` needs, flat over all classes and IoU thresholds.

        A group is a class at a threshold. Precision has its peaks where a detection is right, so
        only those places are kept, and where ignored ones are between them.
        """
        first = np.cumsum([0, *(part.images.size for part in parts)])
        self._image = _join([part.images for part in parts])
        self._truth = [part.truth for part in parts]
        self._group, self._right = _places([part.right for part in parts], first)
        self._starts = np.searchsorted(self._group, np.arange(len(parts) * len(IOUS) + 1))
        self._first = first[self._group // len(IOUS)]  # of the group's class
        group, self._ignored = _places([part.ignored for part in parts], first)
        width = first[-1] + 1
        self._ignored_to, self._ignored_from = (
            np.searchsorted(group * width + self._ignored, self._group * width + place) for place in (self._right, 0)
        )

    def objects(self) -> list:
        """How many objects of each class there are to find."""
        return [len(images) for images in self._truth]

    def per_class(self, weights: np.ndarray | None = None) -> np.ndarray:
        """AP ``[classes, IoU thresholds]`` in 0..1; nan for a class with nothing to find.

        Args:
            weights (ndarray, optional): ``[images]``: how often each image counts; once by default.
        """
        return self.precision(weights).mean(2)

    def ap(self, weights: np.ndarray | None = None, iou: float | None = None) -> float:
        """AP in 0..1 over the classes that have something to find; nan if none has.

        Args:
            weights (ndarray, optional): As above.
            iou (float, optional): At this threshold only, say 0.5.
        """
        values = self.per_class(weights)
        values = values[~np.isnan(values[:, 0])]
        if iou is not None:
            values = values[:, np.isclose(IOUS, iou)]
        return float(values.mean()) if values.size else float('nan')

    def figures(self) -> dict:
        """AP, AP50 and AP75 in percent; None where there is nothing to find."""
        per_class = self.per_class()
        return dict(AP=_percent(per_class), AP50=_percent(per_class[:, 0]), AP75=_percent(per_class[:, 5]))

    def precision(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Precision ``[classes, IoU thresholds, 101]`` at recall 0, 0.01, …, 1; nan as above."""
        weights = np.ones(len(self.images)) if weights is None else np.asarray(weights, float)
        wanted = np.array([weights[images].sum() for images in self._truth])
        weight = weights[self._image]
        hits = _since(weight[self._right], self._starts[self._group])
        before = np.concatenate([[0.0], weight.cumsum()])
        seen = before[self._right + 1] - before[self._first]
        if self._ignored.size:
            ignored = np.concatenate([[0.0], weight[self._ignored].cumsum()])
            seen -= ignored[self._ignored_to] - ignored[self._ignored_from]
        groups = np.arange(len(wanted) * len(IOUS))
        # The best precision from each place on, in all groups at once: an earlier group is lifted
        # above all later ones, and so takes nothing from them.
        lift = 2.0 * (len(groups) - self._group)
        best = np.maximum.accumulate((hits / (seen + np.spacing(1)) + lift)[::-1])[::-1] - lift
        # Where each recall is reached: counted in hits, which are whole numbers and so exact.
        room = np.concatenate([[0.0], np.repeat(wanted + 1, len(IOUS)).cumsum()])
        need = np.repeat(_hits_needed(wanted), len(IOUS), axis=0) + room[:-1, None]
        reached = np.searchsorted(hits + room[self._group], need)
        out = np.append(best, 0.0)[np.where(reached < self._starts[groups + 1][:, None], reached, len(best))]
        out = out.reshape(len(wanted), len(IOUS), len(RECALLS))
        out[wanted == 0] = np.nan
        return out


def summarise(record: dict, sizes: bool = True) -> dict:
    """AP, AP50, AP75 and by size AP_S, AP_M, AP_L in percent; None where there is nothing to find.

    Args:
        record (dict): As :class:`.records.DetectionRecords` writes it.
        sizes (bool): Whether AP by size is wanted; each takes about as long as all else.
    """
    summary = Matches(record).figures()
    if sizes:
        summary.update({f'AP_{area}': _percent(Matches(record, area).per_class()) for area in 'SML'})
    return summary


@dataclass
class _OfClass:
    """One class: ``truth [G]`` and ``images [D]`` are places of images, ``[T, D]`` the others.

    Detections go from the best score to the worst.
    """

    truth: np.ndarray
    images: np.ndarray
    right: np.ndarray
    ignored: np.ndarray


def _match_class(truth: dict, found: dict, area: tuple) -> _OfClass:
    # Images in order and a stable sort, as COCOeval has them: it decides between equal scores.
    places = sorted({*truth, *found})
    matched = [_match(truth.get(place, []), found.get(place, []), area) for place in places]
    counts, scores, right, ignored = zip(*matched) if matched else ([], [], [], [])
    joined = np.concatenate(scores) if matched else np.zeros(0)
    order = np.argsort(-joined, kind='stable')
    empty = np.zeros((len(IOUS), 0), bool)
    return _OfClass(
        np.repeat(places, counts).astype(int),
        np.repeat(places, [len(part) for part in scores]).astype(int)[order],
        np.concatenate([empty, *right], axis=1)[:, order],
        np.concatenate([empty, *ignored], axis=1)[:, order],
    )


def _places(marks: list, first: np.ndarray) -> tuple:
    """Where the classes' ``[T, D]`` are true: group, and number among the detections of all."""
    found = [np.nonzero(mark) for mark in marks]
    return (
        _join([rows + label * len(IOUS) for label, (rows, _) in enumerate(found)]),
        _join([columns + start for (_, columns), start in zip(found, first)]),
    )


def _since(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Cumulative sum that begins anew: of ``values[starts[i]:i + 1]``."""
    sums = np.concatenate([[0.0], values.cumsum()])
    return sums[1:] - sums[starts]


def _hits_needed(wanted: np.ndarray) -> np.ndarray:
    """The fewest hits ``[K, 101]`` with ``hits / wanted >= recall``, by that very division."""
    total = np.maximum(wanted, 1)[:, None]
    need = np.ceil(RECALLS * total)
    need -= (need - 1) / total >= RECALLS
    return need + (need / total < RECALLS)


def _join(parts: list) -> np.ndarray:
    return np.concatenate([np.zeros(0, int), *parts])


def _match(truth: list, found: list, area: tuple) -> tuple:
    """A class in an image: number to be found, scores [D], right [T, D], ignored [T, D]."""
    crowd = np.array([bool(box.get('ignore')) for box in truth], bool)
    real = np.array([box['bbox'] for box in truth], float).reshape(-1, 4)
    skip = crowd | _outside(real, area)
    order = np.argsort(skip, kind='stable')  # what is ignored is matched last
    real, crowd, skip = real[order], crowd[order], skip[order]
    scores = np.array([box['score'] for box in found], float)
    best = np.argsort(-scores, kind='stable')[:MOST]
    boxes = np.array([box['bbox'] for box in found], float).reshape(-1, 4)[best]
    right = np.zeros((len(IOUS), len(best)), bool)
    ignored = np.broadcast_to(_outside(boxes, area), right.shape).copy()
    overlaps = _overlaps(boxes, real, crowd)
    free = np.ones((len(IOUS), len(real)), bool)
    for number in np.flatnonzero((overlaps >= IOUS[0] - 1e-9).any(1)):
        fits = (free | crowd) & (overlaps[number] >= IOUS[:, None])
        wanted = fits & ~skip
        fits = np.where(wanted.any(1, keepdims=True), wanted, fits)
        # Of equal overlaps COCOeval takes the last.
        values = np.where(fits, overlaps[number], -1.0)[:, ::-1]
        taken = len(real) - 1 - values.argmax(1)
        hit = fits.any(1)
        free[hit, taken[hit]] = False
        right[:, number] = hit & ~skip[taken]
        ignored[hit, number] = skip[taken[hit]]
    return np.count_nonzero(~skip), scores[best], right, ignored


def _overlaps(boxes: np.ndarray, real: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """IoU ``[D, G]`` of boxes (x, y, w, h); of a crowd the part of the detection that is in it."""
    low = np.maximum(boxes[:, None, :2], real[None, :, :2])
    high = np.minimum((boxes[:, :2] + boxes[:, 2:])[:, None], (real[:, :2] + real[:, 2:])[None])
    shared = (high - low).clip(0).prod(2)
    areas, real_areas = boxes[:, 2:].prod(1)[:, None], real[:, 2:].prod(1)[None]
    union = np.where(crowd[None], areas, areas + real_areas - shared)
    return shared / np.where(union > 0, union, 1)


def _outside(boxes: np.ndarray, area: tuple) -> np.ndarray:
    areas = boxes[:, 2:].prod(1)
    return (areas < area[0]) | (areas > area[1])


def _by_class_and_image(boxes: list, place: dict) -> defaultdict:
    sorted_in: defaultdict = defaultdict(lambda: defaultdict(list))
    for box in boxes:
        sorted_in[box['label']][place[box['image']]].append(box)
    return sorted_in


def _percent(values: np.ndarray) -> float | None:
    values = values[~np.isnan(values)]
    return 100 * float(values.mean()) if values.size else None
