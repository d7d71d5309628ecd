"""The format that losses are computed in."""

import torch
from torch import Tensor


def to_float32(tensor: Tensor) -> Tensor:
    """At least float32, whatever autocast made of it: the CPU's would stay in bfloat16."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
