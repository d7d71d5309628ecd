"""Randomness without state: generators seeded from where a number is drawn, and isolated from each other."""

import hashlib
import random
import zlib
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def isolated_rng(purpose: str = ''):
    """Restores the state of all random generators on exit.

    Branches, second networks and teachers are built in this context. The students of two methods with
    the same seed therefore start with the same weights and see the same images in the same order,
    whatever else a method builds. Inside, torch (on the CPU, where networks are built) draws from a
    separate stream, determined by the run's seed and ``purpose``.
    """
    python, array, torchs = random.getstate(), np.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        seed = torch.randint(2**62, (), device='cpu').item() ^ zlib.crc32(purpose.encode())
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the GPUs
        yield
    finally:
        random.setstate(python)
        np.random.set_state(array)
        torch.set_rng_state(torchs)
        if devices is not None:
            torch.cuda.set_rng_state_all(devices)


def seed_from(*key) -> int:
    """A seed in ``[0, 2**63)`` that is a function of the key: integers, strings, tuples of them."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, 'little') >> 1


def seed_everything(*key, devices: bool = False) -> None:
    """Seed the generators of Python, numpy and torch as a function of the key.

    What happens to an image is keyed by the run's seed, the epoch and its index in the data set; what a model draws
    in a step by the seed, the step and the rank. Nothing has then to be stored to go on with a run, and the number of
    workers that load the images makes no difference.

    Args:
        *key: As of :func:`seed_from`.
        devices (bool): The GPUs' generators too.
    """
    seed = seed_from(*key)
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    if devices:
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
