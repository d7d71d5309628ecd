"""Folders as finished runs of detectors leave them."""

import json

import pytest
import torch
from mmengine.config import Config

from hsakd_mm.evaluation.average_precision import summarise
from hsakd_mm.evaluation.detection_records import DetectionRecords
from hsakd_mm.reports.comparison import FinishedRun
from hsakd_mm.reports.metrics import in_percent
from tests.evaluation.blurred import blurred_record


@pytest.fixture
def finished(demo_data, tmp_path):
    """Makes the folder of a run that is done."""

    def make(name: str, seed: int, skill: float, record: bool = True, split: str = 'test', **row) -> FinishedRun:
        folder = tmp_path / 'runs' / f'{name}-seed{seed}'
        (folder / '2026' / 'vis_data').mkdir(parents=True)
        found = blurred_record(demo_data / 'scenes' / f'{split}.json', demo_data / 'scenes' / split, skill, seed)
        if record:
            (folder / 'detections.json').write_text(json.dumps(found))
        row = dict(
            name='file',
            **{**summarise(found), 'checkpoint_sha256': 'f00', **row},
            seconds=60.0 + seed,
            commit='abc',
            command='bash tools/transfer_det.sh',
            frozen='stem and layer1 are frozen.',
            hardware=dict(cpu='a CPU', cores=2),
        )
        (folder / 'report.json').write_text(json.dumps(dict(rows=[row])))
        curve = [
            dict(step=epoch, **{'coco/bbox_mAP': round(row['AP'] / 100 * epoch / 3, 3)})
            for epoch in (1, 2, 3)
            if row['AP']
        ]
        (folder / '2026' / 'vis_data' / 'scalars.json').write_text('\n'.join(map(json.dumps, curve)))
        return FinishedRun(name, seed, str(folder))

    return make


@pytest.fixture
def validated(demo_data, tmp_path):
    """Makes the folder of a run whose figures and record come from mmdet's and our own metric."""

    def make(name: str, seed: int, skill: float, indices: int | None = None) -> FinishedRun:
        metrics = pytest.importorskip('mmdet.evaluation', reason='mmdet is not installed')
        folder = tmp_path / 'runs' / f'{name}-seed{seed}'
        folder.mkdir(parents=True)
        annotations = demo_data / 'scenes' / 'test.json'
        drawn = blurred_record(annotations, demo_data / 'scenes' / 'test', skill, seed)
        coco = metrics.CocoMetric(ann_file=str(annotations), metric='bbox')
        record = DetectionRecords(str(folder / 'detections.json'))
        samples = [_sample(drawn, image) for image in drawn['images'][:indices]]
        for metric in (coco, record):
            metric.dataset_meta = dict(classes=drawn['classes'])
            metric.process({}, samples)
        row = dict(name=name, **in_percent(coco.evaluate(len(samples))), config=str(folder / 'detector.py'))
        record.evaluate(len(samples))
        (folder / 'report.json').write_text(json.dumps(dict(rows=[row])))
        evaluator = [dict(type='CocoMetric', ann_file=str(annotations)), dict(type='hsakd_mm.DetectionRecords')]
        Config(dict(val_evaluator=evaluator)).dump(folder / 'detector.py')
        return FinishedRun(name, seed, str(folder))

    return make


def _sample(record: dict, image: dict) -> dict:
    """An image as mmdet hands it to its metrics."""

    def instances(part: str) -> dict:
        boxes = [box for box in record[part] if box['image'] == image['id']]
        corners = torch.tensor([box['bbox'] for box in boxes]).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        return dict(
            bboxes=corners,
            labels=torch.tensor([box['label'] for box in boxes], dtype=torch.long),
            scores=torch.tensor([box.get('score', 1.0) for box in boxes]),
        )

    return dict(
        img_id=image['id'],
        img_path=image['file'],
        ori_shape=(image['height'], image['width']),
        gt_instances=instances('truth'),
        pred_instances=instances('found'),
    )
