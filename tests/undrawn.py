"""Networks whose weights the test does not look at: drawing millions of numbers takes longer than the rest of it."""

from unittest.mock import patch

import torch


def undrawn():
    """A context in which initial weights are zero in place of random."""
    return patch.multiple(torch.Tensor, uniform_=_zero, normal_=_zero)


def _zero(tensor: torch.Tensor, *args, **kwargs) -> torch.Tensor:
    return tensor.zero_()
