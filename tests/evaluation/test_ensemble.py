import pytest
import torch

from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.ensemble import Diversity, EnsembleAccuracy


def sample(scores: list, label: int, diversity: tuple = (1.0, 0.5)) -> dict:
    return dict(
        pred_scores=torch.zeros(2, len(scores)),
        gt_label=label,
        ensemble_scores=torch.tensor(scores),
        diversity=list(diversity),
    )


def test_accuracy_of_the_ensemble() -> None:
    metric = EnsembleAccuracy(topk=(1, 2))
    metric.process(
        None,
        [
            sample([3.0, 2, 1], 0),
            sample([3.0, 2, 1], 1),
            sample([3.0, 2, 1], 2),
            sample([3.0, 2, 1], 2),
            sample([1.0, 2, 3], 2),
        ],
    )
    assert metric.evaluate(size=4) == {  # the fifth row was added by a sampler
        'accuracy/ensemble_top1': 25,
        'accuracy/ensemble_top2': 50,
    }


def test_diversity_is_a_mean_over_images() -> None:
    metric = Diversity()
    metric.process(None, [sample([1.0], 0), sample([1.0], 0, (0.5, 0.0)), sample([1.0], 0, (9.0, 9.0))])
    assert metric.evaluate(size=2) == {'diversity/all': 0.75, 'diversity/mutual': 0.25}


@pytest.mark.parametrize('metric', [EnsembleAccuracy, Diversity])
def test_says_that_a_model_has_none(metric) -> None:
    with pytest.raises(UserError, match=f'{metric.__name__} needs a model that predicts'):
        metric().process(None, [dict(pred_scores=torch.zeros(2), gt_label=0)])
