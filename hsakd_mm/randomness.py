"""Random numbers drawn for what one method has and another has not must not change the rest."""
import random
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def undisturbed():
    """Random numbers drawn in here do not change those that are drawn afterwards.

    Branches, second networks and teachers are built in here. So of two methods with one seed the
    students start from the same weights and see the same images in the same order, whatever else
    either method builds.
    """
    python, array, torchs = random.getstate(), np.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(array)
        torch.set_rng_state(torchs)
        if devices is not None:
            torch.cuda.set_rng_state_all(devices)
