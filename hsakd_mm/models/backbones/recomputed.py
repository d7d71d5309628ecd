"""Activation checkpointing: blocks whose activations are computed again in the backward pass, to save memory."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_recomputed(module: nn.Module, features: Tensor) -> Tensor:
    """``module(features)``, of which only the inputs of its blocks are kept until the backward pass.

    Outputs, gradients, random numbers and running statistics are those of ``module(features)``.
    """
    for block in blocks(module):
        features = checkpoint(
            block, features, use_reentrant=False, context_fn=lambda block=block: (nullcontext(), _once(block))
        )
    return features


def blocks(module: nn.Module) -> list:
    """The blocks of a plain sequence; any other module is one block.

    Sequences of single layers are not split: recomputing one layer saves no memory, since its
    input is stored.
    """
    children = list(module.children())
    if type(module) is not nn.Sequential or not all(list(child.children()) for child in children):
        return [module]
    return [block for child in children for block in blocks(child)]


@contextmanager
def _once(block: nn.Module) -> Iterator:
    """The recomputation of a block must not update running statistics a second time."""
    kept = [
        (module, name, value)
        for module in block.modules()
        if module.training
        for name, value in module.named_buffers(recurse=False)
    ]
    for module, name, value in kept:
        setattr(module, name, value.clone())
    try:
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)
