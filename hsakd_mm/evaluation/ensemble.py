"""Accuracy of an ensemble of networks, and how much the networks differ."""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric

from hsakd_mm.errors import UserError
from hsakd_mm.registry import METRICS

from .accuracy import Accuracy


@METRICS.register_module()
class EnsembleAccuracy(Accuracy):
    """``accuracy/ensemble_top1`` … in percent, from ``ensemble_scores: [N]``.

    Args:
        topk (Sequence[int]): As in :class:`Accuracy`.

    Raises:
        UserError: The model predicts no ensemble scores.
    """

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        super().process(
            data_batch,
            [
                dict(pred_scores=_of(sample, 'ensemble_scores', self), gt_label=sample['gt_label'])
                for sample in data_samples
            ],
        )

    def compute_metrics(self, results: list) -> dict:
        return {f'ensemble_{name}': value for name, value in super().compute_metrics(results).items()}


@METRICS.register_module()
class Diversity(BaseMetric):
    """``diversity/all`` and ``diversity/mutual``, between 0 and √2, from ``diversity: [2]``.

    Mean L2 distance between the softmax outputs of all pairs of branches, and of the same branch in
    two networks (:func:`hsakd_mm.models.distillers.css.diversity`).

    Raises:
        UserError: The model does not predict it.
    """

    default_prefix = 'diversity'

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        self.results.extend(_of(sample, 'diversity', self) for sample in data_samples)

    def compute_metrics(self, results: list) -> dict:
        return dict(zip(('all', 'mutual'), torch.tensor(results).double().mean(0).tolist()))


def _of(sample: dict, name: str, metric: BaseMetric):
    if name not in sample:
        raise UserError(
            f'{type(metric).__name__} needs a model that predicts {name!r}, such as '
            f'CSS, and this one does not: remove the metric.'
        )
    return sample[name]
