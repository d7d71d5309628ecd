import pytest
import torch

from hsakd_mm.evaluation import Accuracy, BranchAccuracy


def test_topk_in_percent() -> None:
    metric = Accuracy(topk=(1, 2, 5))
    scores = torch.tensor([[3., 2, 1], [3, 2, 1], [3, 2, 1], [float('nan')] * 3])
    metric.process(None, [dict(pred_scores=row, gt_label=label)
                          for row, label in zip(scores, [0, 1, 2, 0])])
    got = metric.evaluate(size=4)
    assert got == {'accuracy/top1': 25, 'accuracy/top2': 50, 'accuracy/top5': 75}


def test_rows_added_by_a_sampler_do_not_count() -> None:
    metric = Accuracy(topk=(1, ))
    right, wrong = torch.tensor([1., 0]), torch.tensor([0., 1])
    metric.process(None, [dict(pred_scores=row, gt_label=0) for row in (right, right, wrong)])
    assert metric.evaluate(size=2)['accuracy/top1'] == 100


def test_branches() -> None:
    views, classes = 4, 3
    joint = torch.zeros(1, 2, views, classes * views)  # one image, two branches
    for view in range(views):
        joint[0, 0, view, 1 * views + view] = 1  # branch 1: all right for label 1
        joint[0, 1, view, 1 * views + 0] = 1  # branch 2: right class, always the first view
    metric = BranchAccuracy()
    metric.process(None, [dict(branch_logits=joint[0], gt_label=1)])
    assert metric.evaluate(size=1) == pytest.approx({
        'branch/joint_1': 100, 'branch/joint_2': 25, 'branch/class_1': 100,
        'branch/class_2': 100, 'branch/joint_max': 100})
