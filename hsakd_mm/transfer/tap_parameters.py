"""Which parameters a network's feature maps are computed from, found by one backward pass."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hsakd_mm.models.backbones.intermediates import Intermediates


def parameters_read(net: nn.Module, taps: Intermediates, size: tuple) -> list:
    """For each tap the names of the parameters that it is computed from.

    Args:
        net (nn.Module): A network of timm, in eval mode.
        taps (Intermediates): Its feature maps.
        size (tuple[int]): Height and width of an image that it takes.
    """

    def read(net: nn.Module, image: Tensor) -> list:
        names, values = zip(*net.named_parameters())
        found = []
        for features in taps.run_taps(net, image):
            gradients = torch.autograd.grad(features.sum(), values, retain_graph=True, allow_unused=True)
            found.append({name for name, gradient in zip(names, gradients) if gradient is not None})
        return found

    return _on_a_copy(net, read, size)


def saved_numbers(net: nn.Module, taps: Intermediates, size: tuple) -> int:
    """How many numbers a forward pass saves for the backward pass."""

    def count(net: nn.Module, image: Tensor) -> int:
        saved = []

        def note(value: Tensor) -> Tensor:
            saved.append(value.numel())
            return value

        with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
            taps.run_taps(net, image)
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
