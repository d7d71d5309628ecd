"""Deterministic weights and inputs of the vectors: they depend on a key's name and shape alone.

The vectors were made with the same rule on the reference implementation, in its key names.
"""

import zlib

import numpy as np
import torch
from torch import Tensor


def _normal(name: str, shape) -> np.ndarray:
    return _generator(name).standard_normal(shape)


def _generator(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))


def fill_tensor(key: str, shape) -> Tensor:
    """The tensor of a state dict's ``key``: He-scaled weights, lively BN statistics; float64."""
    leaf = key.rpartition('.')[2]
    if leaf == 'num_batches_tracked':
        return torch.zeros((), dtype=torch.int64)
    if leaf == 'running_var':
        return torch.from_numpy(1 + 0.2 * _generator(key).random_sample(shape))
    if leaf in ('running_mean', 'bias'):
        return torch.from_numpy(0.1 * _normal(key, shape))
    if len(shape) == 1:  # scale of a normalisation
        return torch.from_numpy(1 + 0.1 * _normal(key, shape))
    fan_in = int(np.prod(shape[1:]))
    return torch.from_numpy(np.sqrt(2 / fan_in) * _normal(key, shape))


def images(count: int, size: int) -> Tensor:
    return torch.from_numpy(_normal(f'images/{count}x{size}', (count, 3, size, size)))


def labels(count: int, classes: int) -> Tensor:
    return torch.from_numpy(_generator(f'labels/{count}').randint(0, classes, size=count))
