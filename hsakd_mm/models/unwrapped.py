"""The model inside DistributedDataParallel and the like."""

from mmengine.model import is_model_wrapper
from torch import nn


def unwrapped(model: nn.Module) -> nn.Module:
    """``model`` without its wrapper, if it has one."""
    return model.module if is_model_wrapper(model) else model
