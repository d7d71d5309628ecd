"""``--branches`` through the Runner."""

import pytest
from mmengine.runner import Runner

from hsakd_mm.engine.branches import report_branch_accuracy
from hsakd_mm.errors import UserError


def test_reports_branches_only_where_asked(config) -> None:
    cfg = config('hsakd')
    cfg.test_dataloader.dataset.indices = 8
    plain = Runner.from_cfg(cfg).test()
    assert set(plain) == {'accuracy/top1'}
    report_branch_accuracy(cfg)
    cfg.experiment_name = f'{cfg.work_dir}-branches'
    metrics = Runner.from_cfg(cfg).test()
    branches = {f'branch/{kind}_{depth}' for kind in ('joint', 'class') for depth in range(1, 5)}
    assert set(metrics) == {'accuracy/top1', 'branch/joint_max'} | branches


def test_a_teacher_reports_them_once(config) -> None:
    cfg = config('teacher')
    report_branch_accuracy(cfg)
    assert [metric.type for metric in cfg.test_evaluator] == ['Accuracy', 'BranchAccuracy']


@pytest.mark.parametrize('metrics', [dict(type='Accuracy', topk=(1,)), [dict(type='Accuracy', topk=(1,))]])
def test_an_evaluator_around_the_metrics_stays(config, metrics) -> None:
    cfg = config('hsakd')
    cfg.test_dataloader.dataset.indices = 8
    cfg.test_evaluator = dict(type='Evaluator', metrics=metrics)
    report_branch_accuracy(cfg)
    assert {'accuracy/top1', 'branch/joint_max'} < set(Runner.from_cfg(cfg).test())


def test_refuses_a_model_without_branches(config) -> None:
    with pytest.raises(UserError, match='Classifier has none: leave the option out'):
        report_branch_accuracy(config('plain'))
