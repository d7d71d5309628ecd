"""Records the detections and the ground truth of all images in a file.

AP per class, precision-recall curves, drawn detections and the bootstrap over test images
(:mod:`.average_precision`, :mod:`.bootstrap`) are computed from this file, for any dataset, without
running the detector again.
"""

import hashlib
import json
from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from hsakd_mm.errors import UserError
from hsakd_mm.files import write_atomically
from hsakd_mm.registry import METRICS

FILE = 'detections.json'  # in a run's work directory


@METRICS.register_module()
class DetectionRecords(BaseMetric):
    """A metric that writes the ground truth and detections of all images to one JSON file.

    It returns no values and is used in ``val_evaluator`` with ``CocoMetric`` or ``VOCMetric``. The
    ground truth is what the pipeline loaded (``gt_instances``, ``ignored_instances``). So the
    pipeline needs ``LoadAnnotations`` after ``Resize``, where boxes stay in pixels of the original
    image, as in MMDetection's validation pipelines. Without ground truth nothing is written, and
    the log says so once.

    Content of the file: ``classes``: names; ``images``: ``id``, ``file``, ``width``, ``height``;
    ``truth``: ``image`` (its id), ``label`` (index into ``classes``), ``bbox`` [x, y, w, h] in pixels
    of the original image, ``ignore`` (a crowd in COCO, difficult in VOC); ``found``: ``image``,
    ``label``, ``bbox``, ``score`` in 0..1. Each validation replaces the file.

    Args:
        out_file (str): Path of the file.
        **kwargs: Arguments of mmengine's ``BaseMetric``.

    Example:
        >>> val_evaluator = [
        ...     dict(type='CocoMetric', ann_file='val.json'),
        ...     dict(type='hsakd_mm.DetectionRecords', out_file='detections.json'),
        ... ]
    """

    default_prefix = 'detections'  # unused, but mmengine warns without one

    def __init__(self, out_file: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.out_file = out_file
        self._has_warned = False

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            height, width = sample['ori_shape'][:2]
            image = dict(id=sample['img_id'], file=sample.get('img_path', ''), width=int(width), height=int(height))
            self.results.append(
                dict(
                    image=image,
                    truth=_truth(sample, image['id']),
                    found=_boxes(sample['pred_instances'], image['id'], 'score'),
                )
            )

    def compute_metrics(self, results: list) -> dict:
        if any(result['truth'] is None for result in results) or not results:
            if not self._has_warned:
                MMLogger.get_current_instance().warning(
                    f'{self.out_file} is not written, because the validation data has no '
                    f"ground truth: add dict(type='LoadAnnotations', with_bbox=True) to its "
                    f'pipeline, after Resize.'
                )
            self._has_warned = True
            return {}
        try:  # pycocotools' order, which decides between equal scores
            results = sorted(results, key=lambda result: result['image']['id'])
        except TypeError:  # numbers beside names
            pass
        record = dict(
            classes=list((self.dataset_meta or {}).get('classes', ())),
            images=[result['image'] for result in results],
            truth=[box for result in results for box in result['truth']],
            found=[box for result in results for box in result['found']],
        )
        content = json.dumps(record).encode()
        write_atomically(self.out_file, lambda file: file.write(content))
        return {}


def read_record(path: str) -> dict:
    """Read a file that :class:`DetectionRecords` wrote.

    Raises:
        UserError: The file cannot be read, or has other content.
    """
    try:
        with open(path) as file:
            record = json.load(file)
        absent = {'classes', 'images', 'truth', 'found'} - set(record)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f'{path} should hold the detections of a run, and cannot be read '
            f'({error}): delete it and validate that run again.'
        ) from error
    if absent:
        raise UserError(
            f'{path} should hold the detections of a run, and lacks '
            f'{", ".join(sorted(absent))}: delete it and validate that run again.'
        )
    return record


def truth_sha256(record: dict) -> str:
    """SHA-256 of all that was to be found, in whatever order: image, label, box and whether it is ignored."""
    boxes = [
        [box['image'], box['label'], list(map(float, box['bbox'])), bool(box.get('ignore'))] for box in record['truth']
    ]
    return hashlib.sha256('\n'.join(sorted(map(json.dumps, boxes))).encode()).hexdigest()


def of_image(record: dict, image: int | str) -> tuple:
    """``(truth, found)`` of one image for ``reports.pictures.draw_grid``, without ignored boxes."""
    return tuple(
        _drawable([box for box in record[part] if box['image'] == image and not box.get('ignore')])
        for part in ('truth', 'found')
    )


def _drawable(boxes: list) -> dict:
    corners = np.array([box['bbox'] for box in boxes], float).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    return dict(
        boxes=corners,
        labels=np.array([box['label'] for box in boxes], int),
        scores=np.array([box.get('score', 1.0) for box in boxes], float),
    )


def _truth(sample: dict, image: int | str) -> list | None:
    parts = [(sample.get('gt_instances') or {}, False), (sample.get('ignored_instances') or {}, True)]
    if 'bboxes' not in parts[0][0]:
        return None
    return [
        dict(box, ignore=ignored)
        for instances, ignored in parts
        if 'bboxes' in instances
        for box in _boxes(instances, image)
    ]


def _boxes(instances: dict, image: int | str, *others: str) -> list:
    corners = instances['bboxes']
    corners = _array(getattr(corners, 'tensor', corners)).astype(float).reshape(-1, 4)
    corners[:, 2:] -= corners[:, :2]
    values = {
        'label': _array(instances['labels']).tolist(),
        'bbox': corners.round(5).tolist(),  # float32 holds no more of it
        **{key: _array(instances[f'{key}s']).astype(float).tolist() for key in others},
    }
    return [dict(zip(('image', *values), (image, *box))) for box in zip(*values.values())]


def _array(values) -> np.ndarray:
    return values.detach().cpu().numpy() if hasattr(values, 'detach') else np.asarray(values)
