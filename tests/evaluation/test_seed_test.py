"""Permutation tests over seeds, against small cases by hand and scipy."""

import numpy as np
import pytest

from hsakd_mm.evaluation.seed_test import compare_seeds, paired_p, seeds_needed, unpaired_p


@pytest.mark.parametrize(
    'differences, p, smallest',
    [
        ([1, 2, 3], 2 / 8, 2 / 8),  # only all signs turned is as far
        ([1, -2, 3], 6 / 8, 2 / 8),  # sums ±6, ±4, ±2 and ±0: those of 6, 4 and 2 are as far as 2
        ([-1, -2, -3], 2 / 8, 2 / 8),
        ([0, 0], 1, 2 / 4),
        ([5], 1, 1),
        ([0.1 + 0.2 - 0.3, 0.0], 1, 2 / 4),  # 5e-17 is rounding
        ([1] * 10, 2 / 1024, 2 / 1024),
    ],
)
def test_signs_by_hand(differences, p, smallest) -> None:
    assert paired_p(differences) == (pytest.approx(p), smallest)


@pytest.mark.parametrize(
    'ours, others, p',
    [
        ([3, 4], [1, 2], 2 / 6),  # {1, 2} and {3, 4} of the six
        ([10], [0, 1], 1 / 3),
        ([1, 3], [2, 4], 4 / 6),  # sums 3, 4, 5, 5, 6, 7 around 5: all but the two fives
        ([1, 1, 1], [1, 1, 1], 1),
    ],
)
def test_splits_by_hand(ours, others, p) -> None:
    assert unpaired_p(ours, others)[0] == pytest.approx(p)
    assert unpaired_p(others, ours)[0] == pytest.approx(p)
    assert unpaired_p([3, 4, 5], [0, 1, 2])[1] == 2 / 20 and unpaired_p([3], [0, 1])[1] == 1 / 3


def test_drawn_ones_come_near_exact_ones(monkeypatch) -> None:
    values = np.random.default_rng(0).normal(0.5, 1, 12)
    exact = paired_p(values)[0], unpaired_p(values[:6], values[6:])[0]
    monkeypatch.setattr('hsakd_mm.evaluation.seed_test.PAIRS', 5)
    monkeypatch.setattr('hsakd_mm.evaluation.seed_test.SPLITS', 5)
    drawn = paired_p(values)[0], unpaired_p(values[:6], values[6:])[0]
    assert drawn != exact and drawn == pytest.approx(exact, abs=0.02)  # four standard errors of 10,000 draws
    assert paired_p(values)[0] == drawn[0] != paired_p(values, seed=1)[0]
    assert paired_p([1.0] * 40) == (1 / 10_001, 1 / 10_001)  # never 0


def test_true_hypotheses_are_rejected_as_often_as_said() -> None:
    """Seeds of two equal models: p is at most 0.25 in a quarter of all cases, paired or not."""
    draw = np.random.default_rng(0)
    paired = [paired_p(draw.normal(size=6))[0] for _ in range(2000)]
    unpaired = [unpaired_p(*draw.normal(size=(2, 4)))[0] for _ in range(2000)]
    for found in (paired, unpaired):
        assert np.mean(np.array(found) <= 0.25) == pytest.approx(0.25, abs=0.04)  # four standard errors


@pytest.mark.parametrize('effect', [0.2, 0.5, 0.8, 1.0, 2.0])
def test_seeds_needed_is_that_of_the_t_test(effect) -> None:
    stats = pytest.importorskip('scipy.stats')

    def power(count: int) -> float:
        edge, shift = stats.t.ppf(0.975, count - 1), effect * count**0.5
        return stats.nct.sf(edge, count - 1, shift) + stats.nct.cdf(-edge, count - 1, shift)

    exact = next(count for count in range(2, 1000) if power(count) >= 0.8)
    differences = np.array([-1, 1]) / 2**0.5 + effect  # standard deviation 1
    assert abs(seeds_needed(differences.tolist()) - exact) <= 1
    assert seeds_needed((-3 * differences).tolist()) == seeds_needed(differences.tolist())


def test_what_cannot_be_told() -> None:
    assert seeds_needed([1.0]) is None and seeds_needed([1.0, -1.0]) is None
    assert seeds_needed([1.0, 1.0]) == 2
    assert compare_seeds({0: 1.0}, {0: 2.0, 1: 3.0}) is None


def test_pairs_are_those_of_the_same_seed() -> None:
    found = compare_seeds({1: 11.0, 0: 21.0, 2: 29.0}, {0: 20.0, 1: 10.0, 2: 30.0})
    assert (found.seeds, found.paired, found.ahead, found.p) == (3, True, 2, 1.0)
    assert found.smallest == 0.25 and found.needed == seeds_needed([1.0, 1.0, -1.0])
    other = compare_seeds({0: 21.0, 1: 11.0, 3: 29.0}, {0: 20.0, 1: 10.0, 2: 30.0})
    assert (other.paired, other.ahead, other.needed) == (False, None, None) and other.smallest == 0.1
