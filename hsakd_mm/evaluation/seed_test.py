"""Whether training seeds tell two models apart: exact permutation tests, and how many seeds would.

A permutation test assumes no distribution: where both models are the same, each pair of seeds could as well have had
its two figures exchanged (paired), or each figure have belonged to the other model (unpaired). p is the part of all
exchanges whose mean difference is at least as large, in either direction, as the one seen. So few seeds cannot give a
small p, however large the difference is: three pairs have eight exchanges, and p is 2 / 8 at least.

The tests see the seeds only: each figure is that of the test images as they are.
"""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

PAIRS = 15  # up to so many pairs all exchanges are tried, 2^15
SPLITS = 20_000  # up to so many ways to split unpaired figures all are tried
DRAWS = 10_000  # else so many are drawn
TIED = 1e-9  # differences of figures in percent that only rounding tells apart count as equal
LEVEL, POWER = 0.05, 0.8


@dataclass
class SeedTest:
    """What the seeds say of a difference.

    Args:
        seeds (int): Number of seeds, of two numbers the smaller.
        p (float): Two-sided.
        smallest (float): The smallest p that so many seeds can give.
        paired (bool): Whether the seeds are the same.
        ahead (int | None): Of paired seeds, in how many the difference is above 0.
        needed (int | None): :func:`seeds_needed` of paired seeds.
    """

    seeds: int
    p: float
    smallest: float
    paired: bool
    ahead: int | None = None
    needed: int | None = None


def compare_seeds(ours: Mapping[int, float], others: Mapping[int, float]) -> SeedTest | None:
    """Compare the figures of two models, in pairs where both have the same seeds.

    Args:
        ours (dict[int, float]): A figure in percent, say AP, of each seed.
        others (dict[int, float]): The same of the baseline.

    Returns:
        SeedTest | None: None where one of both has fewer than two seeds.
    """
    fewest = min(len(ours), len(others))
    if fewest < 2:
        return None
    if set(ours) != set(others):
        return SeedTest(fewest, *unpaired_p(list(ours.values()), list(others.values())), paired=False)
    differences = [value - others[seed] for seed, value in ours.items()]
    return SeedTest(
        fewest,
        *paired_p(differences),
        paired=True,
        ahead=sum(value > 0 for value in differences),
        needed=seeds_needed(differences),
    )


def paired_p(differences: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Sign-flip test of the mean difference of paired seeds.

    All 2^n signs are tried for up to 15 pairs; for more, 10,000 are drawn, to which the signs seen are added (Phipson
    and Smyth, 2010, "Permutation p-values should never be zero").

    Args:
        differences (list[float]): Of each pair.
        seed (int): Of the draw.

    Returns:
        tuple[float, float]: p, two-sided, and the smallest p that so many pairs can give.
    """
    values, count = np.asarray(differences, float), len(differences)
    if count <= PAIRS:
        signs = np.array(list(itertools.product((1, -1), repeat=count)))
        return _part(signs @ values, values.sum()), min(1.0, 2 / 2**count)
    signs = np.random.default_rng(seed).choice((1, -1), size=(DRAWS, count))
    return _part(signs @ values, values.sum(), drawn=True), 1 / (DRAWS + 1)


def unpaired_p(ours: Sequence[float], others: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Permutation test of the difference of means of unpaired seeds.

    All ways to split the figures are tried up to 20,000; of more, 10,000 are drawn, as in :func:`paired_p`.

    Args:
        ours (list[float]): A figure of each seed.
        others (list[float]): The same of the other model; another number of seeds is fine.
        seed (int): Of the draw.

    Returns:
        tuple[float, float]: p, two-sided, and the smallest p that such numbers of seeds can give.
    """
    values, first = np.array([*ours, *others], float), len(ours)
    # Of figures whose sum is fixed, the sum of the first decides the difference of means.
    values -= values.mean()
    splits = math.comb(len(values), first)
    seen = values[:first].sum()
    if splits <= SPLITS:
        sums = values[list(itertools.combinations(range(len(values)), first))].sum(1)
        # With equal numbers, both models exchanged give the same difference in the other direction.
        return _part(sums, seen), (2 if len(ours) == len(others) else 1) / splits
    sums = np.random.default_rng(seed).permuted(np.tile(values, (DRAWS, 1)), axis=1)[:, :first].sum(1)
    return _part(sums, seen, drawn=True), 1 / (DRAWS + 1)


def seeds_needed(differences: Sequence[float]) -> int | None:
    """How many paired seeds would settle a difference, if mean and standard deviation are as seen.

    The smallest number for which a two-sided paired t test at 5 % has a power of 80 %, by normal quantiles with
    Guenther's correction for the t distribution: n = ((z₀.₉₇₅ + z₀.₈) σ / δ)² + z₀.₉₇₅² / 2 (Guenther, 1981, "Sample
    size formulas for normal theory t tests"), which is exact to a seed. δ and σ of a few seeds are rough themselves,
    and so is this number.

    Args:
        differences (list[float]): Of each pair.

    Returns:
        int | None: None where it cannot be told: of one pair, or of a mean difference of 0.
    """
    if len(differences) < 2 or abs(mean := statistics.mean(differences)) < TIED:
        return None
    level, power = (statistics.NormalDist().inv_cdf(part) for part in (1 - LEVEL / 2, POWER))
    return math.ceil(((level + power) * statistics.stdev(differences) / mean) ** 2 + level**2 / 2)


def _part(values: np.ndarray, seen: float, drawn: bool = False) -> float:
    """The part of ``values`` that is as far from 0 as ``seen``; drawn ones are joined by the one seen."""
    as_far = np.count_nonzero(np.abs(values) >= abs(seen) - TIED)
    return float((as_far + drawn) / (len(values) + drawn))
