"""Confidence interval of a difference in AP over test images: a paired bootstrap.

Test images are drawn with replacement, the same ones for both models, and the difference in AP is
computed for each draw (Efron and Tibshirani, 1993, chapter 13: percentile interval).

The interval covers only that the test images are a sample. It does not cover the variation between
training seeds, which σ over seeds shows, nor that of pretraining, dataset or detector.
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
        difference (float): Difference on the test images themselves.
        low (float): 2.5 % of the resamples have a smaller difference.
        high (float): 2.5 % of the resamples have a larger difference.
        resamples (int): Number of resamples.
        images (int): Number of test images.
    """

    difference: float
    low: float
    high: float
    resamples: int
    images: int


def default_resamples(images: int) -> int:
    """1000 resamples for up to 1000 images, fewer for more images to limit the time, at least 200."""
    return int(np.clip(RESAMPLES * 1000 // max(images, 1), FEWEST, RESAMPLES))


def paired_bootstrap(
    models: dict, baseline: str, resamples: int | None = None, seed: int = 0, iou: float | None = None
) -> dict:
    """The difference of every other model to ``baseline``, all on the same resamples.

    Args:
        models (dict[str, list[Matches]]): The matches of each model's seeds; AP is their mean.
        baseline (str): Name of the model that the others are compared with.
        resamples (int, optional): By default :func:`default_resamples`.
        seed (int): Seed of the draw. The same seed gives the same interval.
        iou (float, optional): Use AP at this threshold, say 0.5, instead of the mean over all ten.

    Returns:
        dict[str, Interval]: The interval of every model but the baseline.

    Raises:
        UserError: The models were measured on different images.
    """
    images = models[baseline][0].images
    for name, seeds in models.items():
        if any(matches.images != images for matches in seeds):
            raise UserError(
                f'a paired bootstrap needs the same test images for all models, and '
                f'those of {name} differ from those of {baseline}: validate both on '
                f'the same images.'
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
