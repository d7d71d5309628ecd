"""What a network's feature maps are computed from and what they save, found by one pass on a copy."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hsakd_mm.errors import UserError


def parameters_read(net: nn.Module, run: Callable, size: tuple) -> list:
    """For each tap the names of the parameters that it is computed from.

    Args:
        net (nn.Module): In eval mode.
        run (Callable): ``run(net, image)`` gives its feature maps.
        size (tuple[int]): Height and width of an image that it takes.
    """

    def read(net: nn.Module, image: Tensor) -> list:
        names, values = zip(*net.named_parameters())
        found = []
        for features in run(net, image):
            gradients = torch.autograd.grad(features.sum(), values, retain_graph=True, allow_unused=True)
            found.append({name for name, gradient in zip(names, gradients) if gradient is not None})
        return found

    return _on_a_copy(net, read, size)


def recompute_blocks(net: nn.Module, model_name: str, run: Callable, size: tuple) -> None:
    """Have timm recompute the blocks of its network in the backward pass.

    Args:
        net (nn.Module): A network of timm.
        model_name (str): Its name, for the message.
        run, size: As in :func:`parameters_read`.

    Raises:
        UserError: timm does not do this for the network's feature maps.
    """
    before = saved_numbers(net, run, size)
    try:
        net.set_grad_checkpointing(True)
    except (AssertionError, AttributeError, NotImplementedError):  # timm's ways to say that there is none
        after = before
    else:
        after = saved_numbers(net, run, size)
    if after >= before:
        raise UserError(
            f"with_cp=True recomputes a network's blocks in the backward pass, and timm does not do this for "
            f'the feature maps of {model_name!r}: set with_cp=False.'
        )


def saved_numbers(net: nn.Module, run: Callable, size: tuple) -> int:
    """How many numbers a forward pass saves for the backward pass."""

    def count(net: nn.Module, image: Tensor) -> int:
        saved = []

        def note(value: Tensor) -> Tensor:
            saved.append(value.numel())
            return value

        with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
            run(net, image)
        return sum(saved)

    return _on_a_copy(net, count, size)


@torch.enable_grad()
def _on_a_copy(net: nn.Module, work: Callable, size: tuple):
    """Do it with tensors that have shapes only, which costs neither time nor memory; else with real ones.

    On a copy, since some networks keep what they computed.
    """
    try:
        return work(_copy(net, 'meta'), torch.zeros(1, 3, *size, device='meta'))
    except (RuntimeError, AttributeError, TypeError, ValueError):  # an operator that does not run without data
        return work(_copy(net, 'cpu'), torch.zeros(1, 3, *size))


def _copy(net: nn.Module, device: str) -> nn.Module:
    memo: dict = {}  # deepcopy takes the tensors in it for copied
    for value in net.parameters():
        memo[id(value)] = nn.Parameter(value.detach().to(device), requires_grad=value.is_floating_point())
    for buffer in net.buffers():
        memo[id(buffer)] = buffer.detach().to(device, copy=True)
    return copy.deepcopy(net, memo)
