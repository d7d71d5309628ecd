"""A part of a training set: stratified, the few-shot setting of the paper (25, 50 and 75 %), or without labels."""

from collections.abc import Sequence

import numpy as np

from hsakd_mm.errors import UserError


def check_fraction(fraction: float) -> None:
    """Reject a fraction outside (0, 1] before any file is read."""
    if not isinstance(fraction, (int, float)) or not 0 < fraction <= 1:
        raise UserError(
            f'fraction must be above 0 and at most 1, and it is {fraction!r}: 0.25 keeps a quarter of every class, or '
            f'of images without labels.'
        )


def stratified_subset(samples: list, labels: Sequence[int], fraction: float, seed: int = 0) -> list:
    """Keep a fraction of the samples of every class. The choice depends on ``seed`` only.

    The same samples in the same order as in HSAKD's ``train_student_few_shot.py``: the training
    indices of scikit-learn's ``StratifiedShuffleSplit(n_splits=1, test_size=1 - fraction)``.

    Args:
        samples (list): All samples.
        labels (Sequence[int]): The class of each.
        fraction (float): Above 0, at most 1. With 1 the list is returned unchanged.
        seed (int): Seed of the choice; the reference code uses 0.

    Raises:
        UserError: The fraction is out of range, there are too few samples for the number of
            classes, or scikit-learn is not installed.
    """
    check_fraction(fraction)
    if fraction == 1:
        return samples
    try:
        from sklearn.model_selection import StratifiedShuffleSplit
    except ImportError as error:
        raise UserError(
            f"fraction={fraction} needs scikit-learn's stratified split, which is not "
            f'installed: run pip install scikit-learn.'
        ) from error
    splitter = StratifiedShuffleSplit(n_splits=1, test_size=1 - fraction, random_state=seed)
    try:
        kept, _ = next(splitter.split(np.zeros(len(labels)), labels))
    except ValueError as error:
        raise UserError(
            f'a part of {fraction} of {len(samples)} samples was asked for, with each '
            f'class on both sides of the cut, and that is not possible ({error}): '
            f'choose another fraction.'
        ) from error
    return [samples[index] for index in kept]


def random_subset(samples: list, fraction: float, seed: int = 0) -> list:
    """Keep a fraction of samples without labels, at least one, in their order. The choice depends on ``seed`` only."""
    if fraction == 1 or not samples:
        return samples
    kept = np.random.default_rng(seed).permutation(len(samples))[: max(1, round(fraction * len(samples)))]
    return [samples[index] for index in sorted(kept)]
