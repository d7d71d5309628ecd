"""The record of detections, from MMDetection's own pipeline, beside MMDetection's own metric."""

import importlib.util
import json

import numpy as np
import pytest
import torch

from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.average_precision import summarise
from hsakd_mm.evaluation.detection_records import DetectionRecords, of_image, read_record
from hsakd_mm.reports.metrics import in_percent

needs_mmdet = pytest.mark.skipif(importlib.util.find_spec('mmdet') is None, reason='mmdet is not installed')


@pytest.fixture
def scenes(demo_data):
    """mmdet's dataset of the test scenes with its usual pipeline, and predictions for them."""

    def make(annotated: bool = True) -> tuple:
        import mmdet.datasets
        import mmdet.evaluation  # noqa: F401
        from mmdet.registry import DATASETS

        load = [dict(type='LoadAnnotations', with_bbox=True)] if annotated else []
        dataset = DATASETS.build(
            dict(
                type='CocoDataset',
                data_root=str(demo_data / 'scenes'),
                ann_file='test.json',
                data_prefix=dict(img='test/'),
                test_mode=True,
                _scope_='mmdet',
                metainfo=dict(classes=[str(digit) for digit in range(10)]),
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='Resize', scale=(333, 200), keep_ratio=True),
                    *load,
                    dict(
                        type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
                    ),
                ],
            )
        )
        draw = torch.Generator().manual_seed(0)
        samples = []
        for number in range(len(dataset)):
            sample = dataset[number]['data_samples'].to_dict()
            info = dataset.get_data_info(number)['instances']
            boxes = torch.tensor([box['bbox'] for box in info])
            boxes = boxes + torch.randn(boxes.shape, generator=draw) * 2
            labels = torch.tensor([box['bbox_label'] for box in info])
            sample['pred_instances'] = dict(bboxes=boxes, labels=labels, scores=torch.rand(len(boxes), generator=draw))
            samples.append(sample)
        return dataset, samples

    return make


def measure(metric, dataset, samples) -> dict:
    metric.dataset_meta = dataset.metainfo
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(len(dataset))


@needs_mmdet
def test_the_records_ap_is_coco_metrics(scenes, demo_data, tmp_path) -> None:
    from mmdet.registry import METRICS

    dataset, samples = scenes()
    path = tmp_path / 'new' / 'detections.json'
    ours = METRICS.build(dict(type='hsakd_mm.DetectionRecords', out_file=str(path)))
    theirs = METRICS.build(
        dict(type='CocoMetric', metric='bbox', _scope_='mmdet', ann_file=str(demo_data / 'scenes' / 'test.json'))
    )
    assert measure(ours, dataset, samples) == {}
    logged = in_percent(measure(theirs, dataset, samples))
    record = read_record(str(path))
    assert record['classes'] == [str(digit) for digit in range(10)]
    assert set(record['images'][0]) == {'id', 'file', 'width', 'height'}
    assert set(record['truth'][0]) == {'image', 'label', 'bbox', 'ignore'}
    assert set(record['found'][0]) == {'image', 'label', 'bbox', 'score'}
    # mmdet logs three digits.
    assert set(logged) == {'AP', 'AP50', 'AP75', 'AP_S', 'AP_M', 'AP_L'}
    assert summarise(record) == {
        key: value if value is None else pytest.approx(value, abs=0.051) for key, value in logged.items()
    }
    truth, found = of_image(record, record['images'][0]['id'])
    assert truth['boxes'].shape == found['boxes'].shape and np.abs(truth['boxes'] - found['boxes']).max() < 15


@needs_mmdet
def test_a_detector_that_finds_nothing_is_on_record(scenes, demo_data, tmp_path) -> None:
    """mmdet gives no metrics then; the record has the images, no detection, and an AP of 0."""
    from mmdet.registry import METRICS

    dataset, samples = scenes()
    for sample in samples:
        sample['pred_instances'] = {key: value[:0] for key, value in sample['pred_instances'].items()}
    path = tmp_path / 'detections.json'
    ours = METRICS.build(dict(type='hsakd_mm.DetectionRecords', out_file=str(path)))
    theirs = METRICS.build(
        dict(type='CocoMetric', metric='bbox', _scope_='mmdet', ann_file=str(demo_data / 'scenes' / 'test.json'))
    )
    assert measure(theirs, dataset, samples) == measure(ours, dataset, samples) == {}
    record = read_record(str(path))
    assert len(record['images']) == 4 and record['truth'] and record['found'] == []
    summary = summarise(record)
    assert summary['AP'] == summary['AP50'] == summary['AP75'] == 0
    assert of_image(record, record['images'][0]['id'])[1]['boxes'].shape == (0, 4)


@needs_mmdet
def test_without_ground_truth_nothing_is_written(scenes, tmp_path, caplog) -> None:
    dataset, samples = scenes(annotated=False)
    metric = DetectionRecords(str(tmp_path / 'detections.json'))
    for _ in range(2):
        assert measure(metric, dataset, samples) == {}
    assert not list(tmp_path.iterdir()) and metric._has_warned


def test_difficult_objects_are_ignored(tmp_path) -> None:
    box = dict(bboxes=torch.tensor([[10.0, 20.0, 30.0, 60.0]]), labels=torch.tensor([1]))
    sample = dict(
        img_id='000012',
        ori_shape=(100, 200),
        gt_instances=box,
        ignored_instances=box,
        pred_instances=dict(box, scores=torch.tensor([0.5])),
    )
    metric = DetectionRecords(str(tmp_path / 'detections.json'))
    metric.dataset_meta = dict(classes=('aeroplane', 'bicycle'))
    metric.process({}, [sample])
    metric.evaluate(1)
    record = read_record(str(tmp_path / 'detections.json'))
    assert record['truth'] == [
        dict(image='000012', label=1, bbox=[10, 20, 20, 40], ignore=ignore) for ignore in (False, True)
    ]
    assert record['found'] == [dict(image='000012', label=1, bbox=[10, 20, 20, 40], score=0.5)]
    assert record['images'] == [dict(id='000012', file='', width=200, height=100)]


@pytest.mark.parametrize(
    'content, said', [('{"classes": ', 'cannot be read'), (json.dumps(dict(classes=[])), 'lacks found, images')]
)
def test_a_file_that_is_no_record(tmp_path, content, said) -> None:
    (tmp_path / 'detections.json').write_text(content)
    with pytest.raises(UserError, match=said):
        read_record(str(tmp_path / 'detections.json'))
