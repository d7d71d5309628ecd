"""Evaluators as mmengine takes them: a metric, a list, or an Evaluator around either."""

from pathlib import Path

import pytest
from mmengine.config import Config

pytest.importorskip('mmdet', reason='detection needs mmdet and mmcv')

from mmengine.evaluator import Evaluator
from mmengine.registry import EVALUATOR
from mmengine.runner import Runner

from hsakd_mm.errors import UserError
from hsakd_mm.transfer.data_files import check_data
from hsakd_mm.transfer.detector import mmdet_models, record_detections
from hsakd_mm.transfer.evaluators import evaluators_of, is_kind

from .tiny_detection import change, detector, image

RECORD = dict(type='hsakd_mm.DetectionRecords', out_file='theirs.json')
FORMS = {
    'metric': lambda metric: metric,
    'list': lambda metric: [metric],
    'list with a record': lambda metric: [metric, RECORD],
    'evaluator': lambda metric: dict(metrics=[metric]),
    'evaluator of one': lambda metric: dict(metrics=metric),
    'evaluator by name': lambda metric: dict(type='Evaluator', metrics=[metric, RECORD]),
    'evaluator by its whole name': lambda metric: dict(type='mmengine.Evaluator', metrics=(metric,)),
    'own evaluator': lambda metric: dict(type='Renamed', metrics=[metric], suffix='_of_mine'),
}


class Renamed(Evaluator):
    """A user's own, with an argument."""

    def __init__(self, metrics, suffix: str) -> None:
        super().__init__(metrics)
        self.suffix = suffix


@pytest.fixture(params=FORMS)
def cfg(request, tmp_path):
    EVALUATOR.register_module(module=Renamed)
    made = detector(tmp_path)
    metric = made.val_evaluator.to_dict()
    made = Config(dict(made.to_dict(), val_evaluator=FORMS[request.param](metric)))
    yield made
    EVALUATOR.module_dict.pop('Renamed')


def test_detections_are_recorded_beside_the_metric(cfg) -> None:
    before = cfg.val_evaluator.to_dict() if isinstance(cfg.val_evaluator, dict) else {}
    record_detections(cfg, 'ours.json')
    with mmdet_models():
        built = Runner.build_evaluator(None, cfg.val_evaluator)
    coco, record = built.metrics
    assert type(coco).__name__ == 'CocoMetric' and record.out_file == 'ours.json'
    if 'metrics' in before:
        assert type(built).__name__ == before.get('type', 'Evaluator').rpartition('.')[2]
        assert getattr(built, 'suffix', None) == before.get('suffix')


@pytest.mark.parametrize('kind', ['Renamed', 'mmengine.Renamed', Renamed])
def test_a_kind_is_known_however_it_is_named(kind) -> None:
    assert (
        is_kind(dict(type=kind), 'Other', 'Renamed') and not is_kind(dict(type=kind), 'Other') and not is_kind({}, 'x')
    )


def test_the_metric_inside_is_checked_and_mended(cfg, tmp_path) -> None:
    assert not any('absent' in note for note in check_data(cfg))
    cfg.val_dataloader.dataset.indices = 2
    check_data(cfg, mended_in=str(tmp_path / 'run'))
    assert Path(evaluators_of(cfg, 'val')[0].ann_file).parent == tmp_path / 'run'
    cfg.val_dataloader.dataset.indices = None
    other = tmp_path / 'other.json'
    other.write_bytes((tmp_path / 'val.json').read_bytes())
    change(other, image(0, file_name='else.jpg'))
    evaluators_of(cfg, 'val')[0].ann_file = str(other)
    with pytest.raises(UserError, match='val_evaluator.ann_file should hold what val_dataloader loads'):
        check_data(cfg)


def test_an_evaluator_of_several_aps_is_refused_before_training(tmp_path) -> None:
    """It zips its metrics with the datasets: a further one would gather images and never write them."""
    cfg = detector(tmp_path)
    cfg.val_evaluator = dict(type='MultiDatasetsEvaluator', metrics=[cfg.val_evaluator], dataset_prefixes=['a'])
    with pytest.raises(UserError, match='a transfer ends in one AP, and the MultiDatasetsEvaluator of val_evaluator'):
        record_detections(cfg, 'ours.json')
