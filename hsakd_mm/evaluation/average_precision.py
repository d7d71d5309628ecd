"""COCO's average precision of recorded detections, with a weight for each test image.

pycocotools matches detections to ground truth, image by image. The accumulation here takes a weight
for each image, which ``COCOeval.accumulate`` does not: a bootstrap resample, in which image i occurs
``weights[i]`` times, costs a few cumulative sums and no new matching. With all weights 1 the result
equals that of ``COCOeval.accumulate``.
"""

import contextlib

import numpy as np

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREAS = dict(all=(0, 1e10), S=(0, 32**2), M=(32**2, 96**2), L=(96**2, 1e10))  # pixels, inclusive
MAX_DETECTIONS = 100  # of a class in an image


class Matches:
    """The detections of a detector, matched to the ground truth and sorted by score.

    Ground truth with ``ignore`` is a COCO crowd: it need not be found, a detection inside it
    counts neither as right nor as wrong, and it can match several detections.

    Args:
        record (dict): As :class:`.detection_records.DetectionRecords` writes it.
        area (str): ``all``, ``S``, ``M`` or ``L``: only objects of that size, by the area of their
            boxes. (COCO uses the area of the masks where there are masks.)
    """

    def __init__(self, record: dict, area: str = 'all') -> None:
        self.classes = list(record['classes'])
        self.images = [image['id'] for image in record['images']]
        matched = _evaluate(record, AREAS[area])
        image, label, score = (_of_detections(matched, key) for key in ('image_id', 'category_id', 'dtScores'))
        order = np.lexsort((-score, label))  # stable, as in COCOeval: equal scores keep the images' order
        label, self._image = label[order], image[order]
        ignored, hit = (_of_detections(matched, key)[:, order] for key in ('dtIgnore', 'dtMatches'))
        self._counted = ~ignored.astype(bool)
        # Precision has its maxima at right detections, so only these are kept: indices into
        # [IoU thresholds, detections], flattened. A group is a class at one threshold.
        self._right = np.flatnonzero(hit.astype(bool) & self._counted)
        row, column = np.divmod(self._right, max(len(label), 1))
        self._right_image = self._image[column]
        self._group = row * len(self.classes) + label[column]
        self._first_right = np.searchsorted(self._group, self._group)
        self._first = row * len(label) + np.searchsorted(label, label[column])
        objects = [np.count_nonzero(match['gtIgnore'] == 0) for match in matched]
        self._object_image, self._object_label = (
            np.repeat(np.array([match[key] for match in matched], int), objects) for key in ('image_id', 'category_id')
        )

    def objects(self) -> list:
        """The number of objects of each class."""
        return np.bincount(self._object_label, minlength=len(self.classes)).tolist()

    def per_class(self, weights: np.ndarray | None = None) -> np.ndarray:
        """AP ``[classes, IoU thresholds]`` in 0..1; nan for a class without objects.

        Args:
            weights (ndarray, optional): ``[images]``: how often each image counts; once by default.
        """
        return self.precision(weights).mean(2)

    def ap(self, weights: np.ndarray | None = None, iou: float | None = None) -> float:
        """AP in 0..1, the mean over the classes that have objects; nan if none has.

        Args:
            weights (ndarray, optional): As in :meth:`per_class`.
            iou (float, optional): At this threshold only, say 0.5.
        """
        values = self.per_class(weights)
        values = values[~np.isnan(values[:, 0])]
        if iou is not None:
            values = values[:, np.isclose(IOUS, iou)]
        return float(values.mean()) if values.size else float('nan')

    def figures(self) -> dict:
        """AP, AP50 and AP75 in percent; None where there are no objects."""
        per_class = self.per_class()
        return dict(AP=_percent(per_class), AP50=_percent(per_class[:, 0]), AP75=_percent(per_class[:, 5]))

    def precision(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Precision ``[classes, IoU thresholds, 101]`` at recall 0, 0.01, …, 1; nan as above."""
        weights = np.ones(len(self.images)) if weights is None else np.asarray(weights, float)
        objects = np.bincount(self._object_label, weights[self._object_image], len(self.classes))
        hits = _sums(weights[self._right_image])
        hits = hits[1:] - hits[self._first_right]
        seen = _sums((weights[self._image] * self._counted).ravel())
        seen = seen[self._right + 1] - seen[self._first]
        # The precision of a right detection counts for all recalls up to its own.
        recall = hits / np.maximum(np.tile(objects, len(IOUS)), 1)[self._group]
        reached = np.searchsorted(RECALLS, recall, side='right') - 1
        best: np.ndarray = np.zeros((len(IOUS), len(self.classes), len(RECALLS)))
        np.maximum.at(best.reshape(-1), self._group * len(RECALLS) + reached, hits / (seen + np.spacing(1)))
        best = np.maximum.accumulate(best[..., ::-1], axis=2)[..., ::-1]
        best[:, objects == 0] = np.nan
        return np.ascontiguousarray(best.transpose(1, 0, 2))


def summarise(record: dict, sizes: bool = True) -> dict:
    """AP, AP50, AP75 and by size AP_S, AP_M, AP_L in percent; None where there are no objects.

    Args:
        record (dict): As :class:`.detection_records.DetectionRecords` writes it.
        sizes (bool): Whether to add AP by size; each takes about as long as the first three.
    """
    summary = Matches(record).figures()
    if sizes:
        summary.update({f'AP_{area}': _percent(Matches(record, area).per_class()) for area in 'SML'})
    return summary


def _evaluate(record: dict, area: tuple) -> list:
    """pycocotools' matches: a dict for each class and image with boxes, in this order.

    ``category_id`` is an index into ``record['classes']``, ``image_id`` into ``record['images']``.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(None):  # pycocotools prints its steps
        evaluation = COCOeval(*(_index(COCO(), record, record[part]) for part in ('truth', 'found')), iouType='bbox')
        evaluation.params.areaRng, evaluation.params.maxDets = [area], [MAX_DETECTIONS]
        evaluation.params.iouThrs = IOUS
        evaluation.evaluate()
    return [match for match in evaluation.evalImgs if match]


def _index(coco, record: dict, boxes: list):
    place = {image['id']: number for number, image in enumerate(record['images'])}
    coco.dataset = dict(
        images=[dict(id=number) for number in place.values()],
        categories=[dict(id=label) for label in range(len(record['classes']))],
        annotations=[
            dict(
                id=number,  # from 1: 0 is "no match" to COCOeval
                image_id=place[box['image']],
                category_id=box['label'],
                area=box['bbox'][2] * box['bbox'][3],
                iscrowd=int(box.get('ignore', False)),
                **box,
            )
            for number, box in enumerate(boxes, 1)
        ],
    )
    coco.createIndex()
    return coco


def _of_detections(matched: list, key: str) -> np.ndarray:
    """An entry of all matches, ``[detections]`` or ``[IoU thresholds, detections]``."""
    if not matched:
        return np.zeros((len(IOUS), 0) if key in ('dtIgnore', 'dtMatches') else 0, int)
    if key in ('image_id', 'category_id'):
        return np.repeat([match[key] for match in matched], [len(match['dtIds']) for match in matched])
    return np.concatenate([match[key] for match in matched], axis=-1)


def _sums(values: np.ndarray) -> np.ndarray:
    """The sum of the first 0, 1, 2, … values."""
    return np.concatenate([[0.0], values.cumsum()])


def _percent(values: np.ndarray) -> float | None:
    values = values[~np.isnan(values)]
    return 100 * float(values.mean()) if values.size else None
