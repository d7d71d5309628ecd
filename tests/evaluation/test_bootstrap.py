"""The paired bootstrap over test images, and over seeds and test images."""

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


def test_seeds_are_drawn_where_both_have_two(models) -> None:
    seeds = dict(plain=[0, 1], worse=[0], better=[0, 1, 2])
    found, over_images = paired_bootstrap(models, 'plain', 200, seeds=seeds), paired_bootstrap(models, 'plain', 200)
    assert found['worse'] == over_images['worse']  # one seed: the same draws of images, and nothing else
    better, before = found['better'], over_images['better']
    assert (better.seeds, better.paired) == (2, False) and (before.seeds, before.paired) == (0, False)
    assert better.difference == before.difference
    assert better.low < before.low and before.high < better.high
    two = {name: models[name] for name in ('plain', 'better')}
    assert paired_bootstrap(two, 'plain', 200, seeds=seeds)['better'] == better  # whatever else is in the table
    assert paired_bootstrap({**two, 'better': models['better'][:2]}, 'plain', 20, seeds={**seeds, 'better': [1, 0]})[
        'better'
    ].paired


class Simulated:
    """Stands for Matches: AP is the mean of a value of each image."""

    def __init__(self, values) -> None:
        self.images, self.values = list(range(len(values))), np.asarray(values, float)

    def ap(self, weights=None, iou=None) -> float:
        return float(self.values.mean() if weights is None else self.values @ weights / len(self.values))


def simulated(seed_effects, image_effects) -> list:
    """A model of each seed: the effect of the seed on all images, and that of each image on all seeds."""
    return [Simulated((effect + image_effects) / 100) for effect in seed_effects]


def deviation(interval) -> float:
    """Standard deviation of the resamples, by the width of the interval."""
    return (interval.high - interval.low) / (2 * 1.96)


def test_variances_of_seeds_and_images_add_up() -> None:
    draw = np.random.default_rng(0)
    seeds, images = 12, 100
    effects, difficulty = draw.normal(size=seeds), draw.normal(0, 5, images)
    models = dict(base=simulated(np.zeros(seeds), np.zeros(images)), ours=simulated(effects, difficulty))
    of_seeds, of_images = effects.std(ddof=1) / seeds**0.5, difficulty.std() / images**0.5

    def width(**seeds) -> float:
        return deviation(paired_bootstrap(models, 'base', 4000, seeds=seeds or None)['ours'])

    same = list(range(seeds))
    assert width() == pytest.approx(of_images, rel=0.05)
    assert width(base=same, ours=same) == pytest.approx(np.hypot(of_seeds, of_images), rel=0.05)


def test_one_seed_fewer_is_drawn() -> None:
    """Of seeds 0, 0, 0, 3 the mean of three draws is 3 in 1.6 % of resamples, 2 or more in 15.6 %.

    The mean of four draws would be 9/4 or more in 5 %.
    """
    models = dict(base=simulated(np.zeros(4), np.zeros(5)), ours=simulated((0, 0, 0, 3), np.zeros(5)))
    found = paired_bootstrap(models, 'base', 4000, seeds=dict.fromkeys(models, range(4)))['ours']
    assert (found.low, found.high) == pytest.approx((0, 2))


def test_what_pairs_share_cancels() -> None:
    draw = np.random.default_rng(0)
    effects, difficulty = draw.normal(size=8), draw.normal(0, 1, 50)
    models = dict(base=simulated(effects, 0 * difficulty), ours=simulated(effects[::-1], difficulty))
    seeds = dict(base=list(range(8)), ours=list(range(8))[::-1])  # in another order, each with its own effect
    over_images = paired_bootstrap(models, 'base', 500)['ours']
    paired = paired_bootstrap(models, 'base', 500, seeds=seeds)['ours']
    assert paired.paired and paired.seeds == 8
    assert (paired.low, paired.high) == pytest.approx((over_images.low, over_images.high))
    others = paired_bootstrap(models, 'base', 2000, seeds={**seeds, 'ours': list(range(10, 18))})['ours']
    assert not others.paired and others.seeds == 8
    expected = (2 * effects.var(ddof=1) / 8 + difficulty.var() / 50) ** 0.5
    assert deviation(others) == pytest.approx(expected, rel=0.07)


def test_how_often_the_true_difference_is_covered() -> None:
    """With ten seeds nearly as often as the interval says; without drawing them, far less often."""
    draw = np.random.default_rng(0)
    covered = np.zeros(2)
    for trial in range(150):
        models = {
            name: simulated(draw.normal(size=10), difficulty)
            for name, difficulty in (('base', np.zeros(30)), ('ours', draw.normal(0, 1, 30)))
        }
        for place, seeds in enumerate((None, dict.fromkeys(models, range(10)))):
            found = paired_bootstrap(models, 'base', 150, seed=trial, seeds=seeds)['ours']
            covered[place] += found.low <= 0 <= found.high
    over_images, over_both = covered / 150
    assert over_images < 0.7 and over_both > 0.85


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
