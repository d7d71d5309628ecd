"""An isolated random generator for the parts that only some methods have."""

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
