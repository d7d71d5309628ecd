"""The layers of a timm network behind a stage, new and random: what ``TailBranches``, CSS and OKDDip copy."""

import torch
from torch import nn

from hsakd_mm.errors import UserError

from .chain import Partition, remove_strides
from .timm_model import create_network


def build_tail(parts: Partition, stage: int, channels: tuple, tail_channels: int, arguments: dict) -> nn.Sequential:
    """Behind any stage but the last: the remaining stages and the neck. Behind the last one:

    * as many blocks as the stage has, all copies of one that keeps width and resolution, as in
      the reference code. Each is taken from a new network;
    * where the stage has no such block (EfficientNet, MobileNet, VGG, DenseNet ...): a 1x1
      convolution with BN back to the width that enters the stage, unless that is the same,
      and the stage with its strides set to 1. Our decision: the paper has no such network.

    Args:
        parts (Partition): The network's.
        stage (int): From 0.
        channels (tuple[int]): Of each stage's output.
        tail_channels (int): Of the tail's output, which are the neck's.
        arguments (dict): Of ``timm.create_model``.

    Raises:
        UserError: The last stage cannot be given stride 1.
    """
    stages, neck = parts.stages[stage + 1 :], parts.neck
    if stages:
        fresh = create_network(arguments)
        return nn.Sequential(*(_join(fresh, names) for names in stages), *_all(fresh, neck))
    if parts.block:
        blocks = [create_network(arguments).get_submodule(parts.block) for _ in range(parts.repeat)]
        last = nn.Sequential(*blocks)
        return nn.Sequential(last, *(_all(create_network(arguments), neck) if neck else ()))
    fresh = create_network(arguments)
    layers = [remove_strides(_join(fresh, parts.stages[-1])), *_all(fresh, neck)]
    before, last_channels = channels[-2:]
    if before != last_channels:
        layers.insert(0, nn.Sequential(nn.Conv2d(last_channels, before, 1, bias=False), nn.BatchNorm2d(before)))
    tail = nn.Sequential(*layers)
    _check_last_tail(tail, last_channels, tail_channels, arguments['model_name'])
    return tail


def _check_last_tail(tail: nn.Sequential, channels: int, tail_channels: int, model_name: str) -> None:
    """Check by one forward pass that the tail keeps resolution and width."""
    taps = torch.zeros(1, channels, 4, 4)
    tail.eval()
    try:
        with torch.no_grad():
            shape: tuple | str = tuple(tail(taps).shape)
    except RuntimeError as error:
        shape = f'an error ({error})'
    tail.train()
    if shape != (1, tail_channels, 4, 4):
        raise UserError(
            f'the last branch is the last stage of {model_name!r} once more at stride 1, and with its strides set to '
            f'1 it makes {shape} of {tuple(taps.shape)}: use branches=dict(type="LightBranches"), which need no '
            f'copy of a stage.'
        )


def _all(net: nn.Module, names: list) -> list:
    return [net.get_submodule(name) for name in names]


def _join(net: nn.Module, names: list) -> nn.Module:
    """The stage with these names: the module itself, or several as an ``nn.Sequential``."""
    modules = _all(net, names)
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)
