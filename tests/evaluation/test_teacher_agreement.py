"""Validation by what the teacher says."""

import math

import pytest
import torch

from hsakd_mm.errors import UserError
from hsakd_mm.evaluation import Accuracy, TeacherAgreement


def measured(*batches) -> dict:
    metric = TeacherAgreement()
    for batch in batches:
        metric.process(None, batch)
    return metric.evaluate(sum(map(len, batches)))


def sample(own, theirs) -> dict:
    return dict(pred_scores=torch.tensor(own), teacher_scores=torch.tensor(theirs), gt_label=None)


def test_percent_of_images_with_the_teachers_class() -> None:
    first = [sample([0.0, 1, 2], [5.0, 6, 9]), sample([3.0, 1, 2], [5.0, 6, 9])]
    diverged = [sample([math.nan] * 3, [9.0, 6, 5])]
    assert measured(first) == {'agreement/top1': 50}
    assert measured(first, diverged) == {'agreement/top1': pytest.approx(100 / 3)}


def test_mean_cosine_of_features() -> None:
    images = [dict(pred_scores=torch.zeros(3), teacher_cosine=torch.tensor(value)) for value in (0.5, 1.0)]
    assert measured(images[:1], images[1:]) == {'agreement/cosine': 0.75}


def test_needs_a_teacher_as_accuracy_needs_labels() -> None:
    plain = [dict(pred_scores=torch.zeros(3), gt_label=None)]
    with pytest.raises(UserError, match='nothing of a teacher'):
        TeacherAgreement().process(None, plain)
    with pytest.raises(UserError, match='the images have none: use TeacherAgreement'):
        Accuracy().process(None, plain)
