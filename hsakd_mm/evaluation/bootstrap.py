"""Confidence interval of a difference in AP: a paired bootstrap over test images and training seeds.

Test images are drawn with replacement, the same ones for all models, and the difference in AP is computed for each
draw (Efron and Tibshirani, 1993, chapter 13: percentile interval).

Where both models have at least two seeds, these are drawn too: n - 1 of n seeds, with replacement. With n draws the
variance of a mean comes out too small by (n - 1) / n; with n - 1 draws it is unbiased (Rao and Wu, 1988, "Resampling
inference with complex survey data", JASA 83: the rescaled bootstrap, which needs no rescaling at this number). What
varies with seed and image together is counted with both, so that the variance is rather too large than too small (Owen,
2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1).

A percentile interval over few seeds is too narrow all the same, because it knows no value beyond those seen: of seeds
from a normal distribution, without any variation between images, it covers the true difference in 51 % of cases with
2 seeds, 75 % with 3, 86 % with 5, 91 % with 10. :mod:`.seed_test` is exact for any number of seeds.

With one seed the interval covers only that the test images are a sample. It never covers the choice of the dataset or
the detector, nor of a pretraining that the seeds share.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hsakd_mm.errors import UserError

RESAMPLES = 1000
FEWEST = 200


@dataclass
class Interval:
    """Difference in AP, in percentage points, with its 95 % interval.

    Args:
        difference (float): Difference on the test images themselves.
        low (float): 2.5 % of the resamples have a smaller difference.
        high (float): 2.5 % of the resamples have a larger difference.
        resamples (int): Number of resamples.
        images (int): Number of test images.
        seeds (int): Number of seeds that were drawn from, of two numbers the smaller; 0 where only images were drawn.
        paired (bool): Whether seeds were drawn in pairs.
    """

    difference: float
    low: float
    high: float
    resamples: int
    images: int
    seeds: int = 0
    paired: bool = False


def default_resamples(images: int) -> int:
    """1000 resamples for up to 1000 images, fewer for more images to limit the time, at least 200."""
    return int(np.clip(RESAMPLES * 1000 // max(images, 1), FEWEST, RESAMPLES))


def paired_bootstrap(
    models: dict,
    baseline: str,
    resamples: int | None = None,
    seed: int = 0,
    iou: float | None = None,
    seeds: Mapping[str, Sequence[int]] | None = None,
) -> dict:
    """The difference of every other model to ``baseline``, all on the same resamples of the images.

    Args:
        models (dict[str, list[Matches]]): The matches of each model's seeds; AP is their mean.
        baseline (str): Name of the model that the others are compared with.
        resamples (int, optional): By default :func:`default_resamples`.
        seed (int): Seed of the draw. The same seed gives the same interval.
        iou (float, optional): Use AP at this threshold, say 0.5, instead of the mean over all ten.
        seeds (dict[str, list[int]], optional): The training seed of each of a model's matches. Seeds are drawn where
            both models have at least two: in pairs where both have the same ones, since the same seed means the same
            initial weights and order of images wherever the networks are alike, else independently. By default only
            images are drawn.

    Returns:
        dict[str, Interval]: The interval of every model but the baseline. It does not depend on the other models.

    Raises:
        UserError: The models were measured on different images.
    """
    images = models[baseline][0].images
    for name, of_seeds in models.items():
        if any(matches.images != images for matches in of_seeds):
            raise UserError(
                f'a paired bootstrap needs the same test images for all models, and '
                f'those of {name} differ from those of {baseline}: validate both on '
                f'the same images.'
            )
    count = default_resamples(len(images)) if resamples is None else resamples
    draw = np.random.default_rng(seed)
    whole = _aps(models, None, iou)
    progress = _Progress(count)
    drawn: dict = {name: [] for name in models}
    for _ in range(count):
        weights = draw.multinomial(len(images), np.full(len(images), 1 / len(images)))
        for name, values in _aps(models, weights, iou).items():
            drawn[name].append(values)
        progress.step()
    means = {name: float(np.mean(values)) for name, values in whole.items()}
    found = {}
    for name in models:
        if name == baseline:
            continue
        pairs = _pairs(seeds[name], seeds[baseline]) if seeds else None
        fewest = min(len(whole[name]), len(whole[baseline])) if seeds else 0
        differences = _differences(np.array(drawn[name]), np.array(drawn[baseline]), fewest > 1, pairs, seed)
        low, high = np.nanpercentile(differences, (2.5, 97.5))
        found[name] = Interval(
            means[name] - means[baseline],
            float(low),
            float(high),
            count,
            len(images),
            seeds=fewest if fewest > 1 else 0,
            paired=fewest > 1 and pairs is not None,
        )
    return found


def _pairs(ours: Sequence[int], others: Sequence[int]) -> list[tuple[int, int]] | None:
    """The places of each seed in both lists; None where these do not hold the same seeds, once each."""
    if len(set(ours)) < len(ours) or sorted(ours) != sorted(others):
        return None
    return [(list(ours).index(seed), list(others).index(seed)) for seed in sorted(ours)]


def _aps(models: dict, weights: np.ndarray | None, iou: float | None) -> dict:
    """AP of each model's seeds, in percent."""
    return {name: [100 * matches.ap(weights, iou) for matches in seeds] for name, seeds in models.items()}


def _differences(ours: np.ndarray, baseline: np.ndarray, by_seed: bool, pairs: list | None, seed: int) -> np.ndarray:
    """The difference in AP of each resample, ``[resamples]``, from the APs of each seed, ``[resamples, seeds]``.

    The seeds are drawn here, from each seed's AP on the resample's images: no AP is computed for them.
    """
    if not by_seed:
        return ours.mean(1) - baseline.mean(1)
    draw = np.random.default_rng([seed, 1])  # the images' draws stay those of an interval over images alone
    if pairs is None:
        return _mean_of_drawn(ours, draw) - _mean_of_drawn(baseline, draw)
    first, second = zip(*pairs)
    return _mean_of_drawn(ours[:, first] - baseline[:, second], draw)


def _mean_of_drawn(values: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The mean of n - 1 of the n seeds, drawn with replacement, of each resample."""
    resamples, seeds = values.shape
    return np.take_along_axis(values, draw.integers(seeds, size=(resamples, seeds - 1)), axis=1).mean(1)


class _Progress:
    """Prints the progress of a long bootstrap every ten seconds."""

    def __init__(self, count: int) -> None:
        self.count, self.done = count, 0
        self.started = self.said = time.monotonic()

    def step(self) -> None:
        self.done += 1
        now = time.monotonic()
        if now - self.said > 10:
            left = (now - self.started) / self.done * (self.count - self.done)
            print(f'  bootstrap: {self.done} of {self.count} resamples, about {left:.0f} s left', flush=True)
            self.said = now
