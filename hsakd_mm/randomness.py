"""Random numbers drawn for what one method has and another has not must not change the rest."""

import random
import zlib
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def isolated_rng(purpose: str = ''):
    """Random numbers drawn in here do not change those that are drawn afterwards.

    Branches, second networks and teachers are built in here. So of two methods with one seed the
    students start from the same weights and see the same images in the same order, whatever else
    either method builds. In here torch draws (on the CPU, where networks are built) from a stream
    of its own, which the run's seed and ``purpose`` decide.
    """
    python, array, torchs = random.getstate(), np.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        seed = torch.randint(2**62, (), device='cpu').item() ^ zlib.crc32(purpose.encode())
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach the GPUs' too
        yield
    finally:
        random.setstate(python)
        np.random.set_state(array)
        torch.set_rng_state(torchs)
        if devices is not None:
            torch.cuda.set_rng_state_all(devices)
