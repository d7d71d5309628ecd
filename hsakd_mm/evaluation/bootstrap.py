"""How far a difference in AP would move with other test images: a paired bootstrap.

Test images are drawn with replacement, the same ones for both models, and the difference in AP is
measured anew (Efron and Tibshirani, 1993, chapter 13: percentile interval).

It covers one thing only: that the test images are a sample. It does not cover that another seed
would have trained another detector; σ over seeds says that and stands beside it. Nor does it know
of another pretraining, data set or detector.
"""

import time
from dataclasses import dataclass

import numpy as np

from hsakd_mm.errors import UserError

RESAMPLES = 1000
FEWEST = 200


@dataclass
class Interval:
    """Difference in AP, in percentage points, with its 95 % interval.

    Args:
        difference (float): On the test images themselves.
        low (float): 2.5 % of the resamples have a smaller one.
        high (float): 2.5 % of the resamples have a larger one.
        resamples (int): How many were drawn.
        images (int): Test images in each.
    """

    difference: float
    low: float
    high: float
    resamples: int
    images: int


def default_resamples(images: int) -> int:
    """1000 for up to 1000 images, then fewer so that it stays a matter of minutes, at least 200."""
    return int(np.clip(RESAMPLES * 1000 // max(images, 1), FEWEST, RESAMPLES))


def paired_bootstrap(
    models: dict, baseline: str, resamples: int | None = None, seed: int = 0, iou: float | None = None
) -> dict:
    """The difference of every other model to ``baseline``, all on the same resamples.

    Args:
        models (dict[str, list[Matches]]): For each model its seeds' matches; AP is their mean.
        baseline (str): One of them.
        resamples (int, optional): By default :func:`default_resamples`.
        seed (int): Of the draw. The same seed gives the same interval.
        iou (float, optional): AP at this threshold, say 0.5, instead of over all ten.

    Returns:
        dict[str, Interval]: By name, without the baseline.

    Raises:
        UserError: The models were measured on different images.
    """
    images = models[baseline][0].images
    for name, seeds in models.items():
        if any(matches.images != images for matches in seeds):
            raise UserError(
                f'a paired bootstrap needs the same test images for all models, and '
                f'those of {name} differ from those of {baseline}: validate both on '
                f'the same data.'
            )
    count = default_resamples(len(images)) if resamples is None else resamples
    draw = np.random.default_rng(seed)
    whole = _aps(models, None, iou)
    progress = _Progress(count)
    drawn = []
    for _ in range(count):
        weights = draw.multinomial(len(images), np.full(len(images), 1 / len(images)))
        drawn.append(_aps(models, weights, iou))
        progress.step()
    place = list(models).index(baseline)
    differences = np.array(drawn) - np.array(drawn)[:, [place]]
    low, high = np.nanpercentile(differences, (2.5, 97.5), axis=0)
    return {
        name: Interval(float(whole[number] - whole[place]), float(low[number]), float(high[number]), count, len(images))
        for number, name in enumerate(models)
        if name != baseline
    }


def _aps(models: dict, weights: np.ndarray | None, iou: float | None) -> list:
    return [100 * float(np.mean([matches.ap(weights, iou) for matches in seeds])) for seeds in models.values()]


class _Progress:
    """Says how far a long bootstrap is, every ten seconds."""

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
