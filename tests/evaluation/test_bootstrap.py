"""The paired bootstrap over test images."""

import numpy as np
import pytest

from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.average_precision import Matches
from hsakd_mm.evaluation.bootstrap import default_resamples, paired_bootstrap
from tests.evaluation.blurred import blurred_record


@pytest.fixture(scope='module')
def models(demo_data) -> dict:
    scenes = demo_data / 'scenes'
    return {
        name: [Matches(blurred_record(scenes / 'train.json', scenes / 'train', skill, seed)) for seed in seeds]
        for name, skill, seeds in (('plain', 0.4, (0, 1)), ('worse', 0.3, (2,)), ('better', 0.95, (3, 4, 5)))
    }


def test_intervals_and_their_seed(models) -> None:
    found = paired_bootstrap(models, 'plain', resamples=200)
    assert set(found) == {'worse', 'better'}
    better = found['better']
    means = {name: 100 * np.mean([each.ap() for each in seeds]) for name, seeds in models.items()}
    assert better.difference == pytest.approx(means['better'] - means['plain'])
    assert 0 < better.low < better.difference < better.high
    assert (better.resamples, better.images) == (200, 8)
    assert paired_bootstrap(models, 'plain', resamples=200) == found
    assert paired_bootstrap(models, 'plain', resamples=200, seed=1) != found
    assert paired_bootstrap(models, 'plain', 20, iou=0.5)['better'].difference == pytest.approx(
        100
        * (
            np.mean([each.ap(iou=0.5) for each in models['better']])
            - np.mean([each.ap(iou=0.5) for each in models['plain']])
        )
    )


def test_the_same_detections_differ_by_nothing(models) -> None:
    same = paired_bootstrap({'a': models['plain'], 'b': models['plain']}, 'a', 50)['b']
    assert (same.difference, same.low, same.high) == (0, 0, 0)


def test_other_images_are_no_pair(models, demo_data) -> None:
    scenes = demo_data / 'scenes'
    other = Matches(blurred_record(scenes / 'test.json', scenes / 'test'))
    with pytest.raises(UserError, match='those of other differ from those of plain'):
        paired_bootstrap({**models, 'other': [other]}, 'plain', 5)


def test_how_many() -> None:
    assert [default_resamples(images) for images in (4, 1000, 2500, 5000, 100_000)] == [1000, 1000, 400, 200, 200]
