"""The AP of a run that was not validated, that found nothing, or had nothing to find."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from hsakd_mm.errors import UserError
from hsakd_mm.experiments.child import tool as tool_path
from hsakd_mm.experiments.detector_metrics import setting

needs_mmdet = pytest.mark.skipif(importlib.util.find_spec('mmdet') is None, reason='mmdet is not installed')


@needs_mmdet
@pytest.mark.parametrize(
    'options, flags',
    [
        ({}, ['--no-validate']),
        ({'val_dataloader': None, 'val_evaluator': None, 'val_cfg': None}, []),
        ({'train_cfg': dict(_delete_=True, type='IterBasedTrainLoop', max_iters=20)}, []),
    ],
)
def test_what_is_not_validated_is_tested(started, options, flags) -> None:
    made = started(options=options, flags=flags)
    made.train()
    log = os.path.join(made.work_dir, '2026', 'vis_data', 'scalars.json')  # of an earlier start
    os.makedirs(os.path.dirname(log))
    with open(log, 'w') as file:
        file.write('{"coco/bbox_mAP": 0.5, "step": 10}\n')
    with pytest.raises(UserError, match='was expected to leave a checkpoint'):
        made.report()
    torch.save(
        dict(meta=dict(epoch=10), state_dict=dict(weight=torch.zeros(1)), message_hub={}),
        os.path.join(made.work_dir, 'epoch_10.pth'),
    )
    with open(os.path.join(made.work_dir, 'last_checkpoint'), 'w') as file:
        file.write('elsewhere/epoch_10.pth')
    assert made.report()['AP'] == 25.0
    test = started.commands[-1]
    assert test[0] == sys.executable and test[1] == tool_path('test.py')
    assert test[3] == os.path.join(made.work_dir, 'epoch_10.pth')
    coco, records = Config.fromfile(test[2]).test_evaluator
    assert coco.type == 'CocoMetric'
    assert records.out_file == os.path.join(made.work_dir, 'detections.json')


@needs_mmdet
@pytest.mark.parametrize(
    'metric, found, metrics, truth',
    [
        ('CocoMetric', [], {}, 'one'),
        ('OtherMetric', [], {}, 'one'),
        ('CocoMetric', [{}], {}, 'one'),
        ('CocoMetric', [], {}, 'none'),
        ('CocoMetric', [{}], {'coco/bbox_mAP': -1.0}, 'none'),
        ('CocoMetric', [{}], {'coco/bbox_mAP': -1.0}, 'ignored'),
        ('VOCMetric', [{}], {'pascal_voc/mAP': 0.0}, 'none'),
    ],
)
@pytest.mark.parametrize('inside', [False, True])  # of an Evaluator, as mmengine takes it too
def test_nothing_found_is_an_ap_of_0_and_nothing_to_find_is_none(
    started, metric, found, metrics, truth, inside
) -> None:
    """mmdet then gives no metrics, as it does where the evaluator measures something else."""
    started.metrics = metrics
    evaluator = dict(_delete_=True, metrics=[dict(type=metric)]) if inside else dict(type=metric)
    made = started(options={'val_evaluator': evaluator})
    made.train()
    torch.save(
        dict(meta=dict(epoch=12), state_dict=dict(weight=torch.zeros(1)), message_hub={}),
        os.path.join(made.work_dir, 'epoch_12.pth'),
    )
    with open(os.path.join(made.work_dir, 'last_checkpoint'), 'w') as file:
        file.write('epoch_12.pth')
    boxes = [] if truth == 'none' else [dict(image=0, label=0, bbox=[0, 0, 4, 4], ignore=truth == 'ignored')]
    with open(os.path.join(made.work_dir, 'detections.json'), 'w') as file:
        json.dump(dict(classes=['0'], images=[dict(id=0)], truth=boxes, found=found), file)
    if truth != 'one':
        row = made.report()
        assert row['AP'] is row['AP50'] is None and 'hold no object to find' in row['remark']
        return
    if metric == 'OtherMetric' or found:
        with pytest.raises(UserError, match='its metric is another: use CocoMetric'):
            made.report()
        return
    row = made.report()
    assert row['AP'] == row['AP50'] == 0 and 'No box with a score above 0.05' in row['remark']
    assert 'was found in 1 images' in Path(made.work_dir, 'report.md').read_text()


@needs_mmdet
@pytest.mark.parametrize(
    'root, said', [('data/demo/', 'CocoDataset data/demo'), ('', 'CocoDataset'), (None, 'CocoDataset')]
)
def test_a_dataset_without_a_root_is_named_too(started, root, said) -> None:
    made = started(options={'train_dataloader.dataset.data_root': root})
    assert setting(made.cfg, made.work_dir)['dataset'] == said
