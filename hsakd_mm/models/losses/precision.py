"""Numeric format of the losses."""

import torch
from torch import Tensor


def to_float32(tensor: Tensor) -> Tensor:
    """Convert to float32 unless wider already: under autocast on the CPU logits would stay bfloat16."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
