"""Top-k accuracy of the backbone, and of the branches if the model predicts with them.

Both metrics keep one row per image. So when ranks are merged, the rows that a sampler added to fill
uneven shards are removed, and the values are exact for any number of GPUs.
"""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from hsakd_mm.errors import UserError
from hsakd_mm.registry import METRICS


@METRICS.register_module()
class Accuracy(BaseMetric):
    """``accuracy/top1``, ``accuracy/top5`` … in percent, from ``pred_scores: [N]``.

    For K networks that teach each other (``pred_scores: [K, N]``) there are ``net1_top1``, … too, and
    ``top1`` is that of the best network, by which HSSAKD's reference code selects a checkpoint.

    Args:
        topk (int | Sequence[int]): The values of k. A k above N is the same as N.

    Raises:
        UserError: A k is no positive integer.
    """

    default_prefix = 'accuracy'
    needs_labels = True

    def __init__(self, topk: int | Sequence[int] = (1, 5), **kwargs) -> None:
        super().__init__(**kwargs)
        self.topk = (topk,) if isinstance(topk, int) else tuple(topk)
        if not self.topk or not all(isinstance(k, int) and k > 0 for k in self.topk):
            raise UserError(f'topk of Accuracy is expected to be positive integers, as in (1, 5), and it is {topk!r}.')

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        scores = torch.stack([sample['pred_scores'] for sample in data_samples])
        if any(sample['gt_label'] is None for sample in data_samples):
            raise UserError(
                f'{type(self).__name__} compares predictions with labels, and the images have none: use '
                f'TeacherAgreement, or data with labels.'
            )
        labels = torch.tensor([sample['gt_label'] for sample in data_samples]).to(scores.device)
        nets = scores[:, None] if scores.ndim == 2 else scores
        ranks = [_rank_of_label(nets[:, net], labels) for net in range(nets.shape[1])]
        self.results.extend(torch.stack(ranks, 1).tolist())

    def compute_metrics(self, results: list) -> dict:
        nets = torch.tensor(results).unbind(1)
        metrics = {}
        for k in self.topk:
            each = [_percent(ranks < k) for ranks in nets]
            if len(nets) > 1:
                metrics.update({f'net{net}_top{k}': value for net, value in enumerate(each, 1)})
            metrics[f'top{k}'] = max(each)
        return metrics


@METRICS.register_module()
class BranchAccuracy(BaseMetric):
    """Accuracy of each branch, in percent, of a model with ``predict_branches=True``.

    ``branch/joint_l``: class and view are both right. ``branch/class_l``: the class is right,
    predicted from the sum of the joint logits of each class. Both are means over the M views.
    ``branch/joint_max`` is that of the best branch, by which the reference code selects a teacher's
    checkpoint. With several networks the names are ``branch/net1_joint_l`` and so on. On images without labels the
    class is the one that the network's own classifier predicts.
    """

    default_prefix = 'branch'

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            if 'branch_joint' not in sample:
                raise UserError(
                    'BranchAccuracy needs a model that predicts with its branches, and '
                    'this one does not: set model.predict_branches=True on a model '
                    'with branches, or remove the metric.'
                )
            self.results.append((sample['branch_joint'], sample['branch_class']))

    def compute_metrics(self, results: list) -> dict:
        joint, classes = ([_means(net) for net in zip(*rows)] for rows in zip(*results))
        metrics = {}
        for kind, nets in (('joint', joint), ('class', classes)):
            for net, branches in enumerate(nets, 1):
                name = kind if len(nets) == 1 else f'net{net}_{kind}'
                metrics.update({f'{name}_{depth}': value for depth, value in enumerate(branches.tolist(), 1)})
        return dict(metrics, joint_max=max(branches.max().item() for branches in joint))


def _rank_of_label(scores: Tensor, labels: Tensor) -> Tensor:
    """Number of classes that rank before the label, ``[B]``; ties rank by class index."""
    own = scores.gather(1, labels[:, None])
    index = torch.arange(scores.shape[1], device=scores.device)
    before = (scores > own) | ((scores == own) & (index < labels[:, None]))
    never = torch.iinfo(torch.int64).max  # comparisons with NaN are false; such a prediction is never right
    return before.sum(1).masked_fill(own.isnan()[:, 0], never)


def _means(rows: Sequence) -> Tensor:
    """Fractions of right predictions ``[B, L]`` as one percentage per branch, ``[L]``."""
    return 100 * torch.tensor(rows).double().mean(0)


def _percent(correct: Tensor) -> float:
    return 100 * correct.double().mean().item()
