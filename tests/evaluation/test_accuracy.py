import pytest
import torch

from hsakd_mm.errors import UserError
from hsakd_mm.evaluation import Accuracy, BranchAccuracy


def test_topk_in_percent() -> None:
    metric = Accuracy(topk=(1, 2, 5))
    scores = torch.tensor([[3.0, 2, 1], [3, 2, 1], [3, 2, 1], [float('nan')] * 3])
    metric.process(None, [dict(pred_scores=row, gt_label=label) for row, label in zip(scores, [0, 1, 2, 0])])
    got = metric.evaluate(size=4)
    assert got == {'accuracy/top1': 25, 'accuracy/top2': 50, 'accuracy/top5': 75}


def test_rows_added_by_a_sampler_do_not_count() -> None:
    metric = Accuracy(topk=(1,))
    right, wrong = torch.tensor([1.0, 0]), torch.tensor([0.0, 1])
    metric.process(None, [dict(pred_scores=row, gt_label=0) for row in (right, right, wrong)])
    assert metric.evaluate(size=2)['accuracy/top1'] == 100


def test_of_two_networks_the_better_counts() -> None:
    metric = Accuracy(topk=(1,))
    right, wrong = torch.tensor([1.0, 0]), torch.tensor([0.0, 1])
    metric.process(None, [dict(pred_scores=torch.stack(nets), gt_label=0) for nets in ((right, right), (wrong, right))])
    assert metric.evaluate(size=2) == {'accuracy/net1_top1': 50, 'accuracy/net2_top1': 100, 'accuracy/top1': 100}


def test_branches() -> None:
    metric = BranchAccuracy()
    metric.process(
        None,
        [
            dict(branch_joint=[[1.0, 0.25]], branch_class=[[1.0, 1.0]]),
            dict(branch_joint=[[0.5, 0.25]], branch_class=[[1.0, 0.5]]),
            dict(branch_joint=[[0.0, 0.0]], branch_class=[[0.0, 0.0]]),
        ],
    )
    assert metric.evaluate(size=2) == pytest.approx(
        {  # the third row was added by a sampler
            'branch/joint_1': 75,
            'branch/joint_2': 25,
            'branch/class_1': 100,
            'branch/class_2': 75,
            'branch/joint_max': 75,
        }
    )


def test_branches_of_two_networks() -> None:
    metric = BranchAccuracy()
    metric.process(None, [dict(branch_joint=[[0.5], [0.75]], branch_class=[[1.0], [0.25]])])
    assert metric.evaluate(size=1) == pytest.approx(
        {
            'branch/net1_joint_1': 50,
            'branch/net2_joint_1': 75,
            'branch/net1_class_1': 100,
            'branch/net2_class_1': 25,
            'branch/joint_max': 75,
        }
    )


def test_says_that_a_model_does_not_predict_its_branches() -> None:
    with pytest.raises(UserError, match='set model.predict_branches=True'):
        BranchAccuracy().process(None, [dict(pred_scores=torch.zeros(2), gt_label=0)])
