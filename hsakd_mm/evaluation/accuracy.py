"""Top-k accuracy of the backbone, and of the branches where a model predicts them.

Both keep one row an image, so that the rows which a sampler added to fill uneven shards are cut
off when ranks are merged: the figures are exact on any number of GPUs.
"""
from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from hsakd_mm.registry import METRICS


@METRICS.register_module()
class Accuracy(BaseMetric):
    """``accuracy/top1``, ``accuracy/top5`` … in percent, from ``pred_scores: [N]``.

    Args:
        topk (Sequence[int]): The k's. A k above N counts as N.
    """

    default_prefix = 'accuracy'

    def __init__(self, topk: Sequence[int] = (1, 5), **kwargs) -> None:
        super().__init__(**kwargs)
        self.topk = tuple(topk)

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        scores = torch.stack([sample['pred_scores'] for sample in data_samples])
        labels = torch.tensor([sample['gt_label'] for sample in data_samples]).to(scores.device)
        ranks = _rank_of_label(scores, labels)
        self.results.extend(ranks.tolist())

    def compute_metrics(self, results: list) -> dict:
        ranks = torch.tensor(results)
        return {f'top{k}': _percent(ranks < k) for k in self.topk}


@METRICS.register_module()
class BranchAccuracy(BaseMetric):
    """Accuracy of each branch, in percent, from ``branch_logits: [L, M, N·M]``.

    ``branch/joint_l``: class and view both right. ``branch/class_l``: the class, from the sum of
    a class's joint logits. Each averaged over the M views. ``branch/joint_max`` is the best
    branch's, by which the reference code chooses a teacher's checkpoint.
    """

    default_prefix = 'branch'

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        logits = torch.stack([sample['branch_logits'] for sample in data_samples])  # [B, L, M, NM]
        labels = torch.tensor([sample['gt_label'] for sample in data_samples]).to(logits.device)
        views = logits.shape[2]
        joint_labels = labels[:, None] * views + torch.arange(views, device=logits.device)
        joint = logits.argmax(-1) == joint_labels[:, None]
        class_logits = logits.unflatten(-1, (-1, views)).sum(-1)
        classes = class_logits.argmax(-1) == labels[:, None, None]
        shares = torch.stack([joint, classes], 1).float().mean(-1)  # [B, 2, L]
        self.results.extend(shares.tolist())

    def compute_metrics(self, results: list) -> dict:
        joint, classes = (100 * torch.tensor(results).double().mean(0)).tolist()
        metrics = {f'joint_{depth}': value for depth, value in enumerate(joint, 1)}
        metrics.update({f'class_{depth}': value for depth, value in enumerate(classes, 1)})
        return dict(metrics, joint_max=max(joint))


def _rank_of_label(scores: Tensor, labels: Tensor) -> Tensor:
    """How many classes come before the labelled one, ``[B]``; of equals, the first comes first."""
    own = scores.gather(1, labels[:, None])
    index = torch.arange(scores.shape[1], device=scores.device)
    before = (scores > own) | ((scores == own) & (index < labels[:, None]))
    never = torch.iinfo(torch.int64).max  # NaN compares as false everywhere, and is never right
    return before.sum(1).masked_fill(own.isnan()[:, 0], never)


def _percent(correct: Tensor) -> float:
    return 100 * correct.double().mean().item()
