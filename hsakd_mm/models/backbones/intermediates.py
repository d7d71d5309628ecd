"""Feature maps of any timm network, by timm's own ``forward_intermediates``.

For networks that are no chain of modules (:mod:`.chain`): transformers, HRNet, networks with parallel branches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .chain import STRIDES

COUNT = 4  # taps at most, as many as chains have


class NoMapsError(Exception):
    """Why a network gives no feature maps: the end of a sentence that begins with the name of the network."""


@dataclass(frozen=True)
class Intermediates:
    """Which of a network's intermediate feature maps are its taps.

    Args:
        indices (tuple[int]): As ``forward_intermediates(indices=...)`` takes them.
        strides (tuple[int]): Of the taps, ascending.
        norm (bool): Apply the network's last norm to each tap. So are the taps of a network with one stride, whose
            blocks all add to one stream (as in DINOv2's ``get_intermediate_layers``).
    """

    indices: tuple
    strides: tuple
    norm: bool

    def run(self, net: nn.Module, images: Tensor) -> tuple:
        """What the network's head reads, and the taps ``L x [B, C_l, h_l, w_l]``, of ``images: [B, 3, H, W]``.

        Maps of tokens are put in place again; class token and registers are left out of them.
        """
        features, taps = net.forward_intermediates(images, indices=list(self.indices), norm=self.norm)
        return features, taps

    def run_taps(self, net: nn.Module, images: Tensor) -> list:
        """The taps alone, without what the network computes after the last one."""
        return net.forward_intermediates(
            images, indices=list(self.indices), norm=self.norm, stop_early=True, intermediates_only=True
        )


def strides_of(net: nn.Module) -> list:
    """The stride of each intermediate feature map, as timm states it; empty where it does not."""
    info = getattr(net, 'feature_info', None) or []
    return [round(each['reduction']) for each in (getattr(info, 'info', None) or info)]


def has_one_stride(net: nn.Module) -> bool:
    return len(set(strides_of(net))) == 1


def choose(strides: Sequence[int]) -> tuple:
    """Indices of the taps among feature maps of these strides.

    The last map of each of the strides 4, 8, 16 and 32; of a network without some of these the last map of each
    stride from 4, at most the last four. Where all have one stride, as in a plain ViT, four at equal shares of the
    depth.

    Example:
        >>> choose([2, 4, 8, 16, 32])
        (1, 2, 3, 4)
        >>> choose([16] * 12)
        (2, 5, 8, 11)
    """
    if len(set(strides)) == 1:
        count = min(COUNT, len(strides))
        return tuple(round(len(strides) * (place + 1) / count) - 1 for place in range(count))
    last = {stride: index for index, stride in enumerate(strides)}
    if all(stride in last for stride in STRIDES):
        return tuple(last[stride] for stride in STRIDES)
    deep = [index for stride, index in last.items() if stride >= STRIDES[0]]
    return tuple(sorted(deep or last.values())[-COUNT:])


@torch.no_grad()
def find_taps(net: nn.Module, sizes: Sequence[tuple]) -> tuple:
    """``(Intermediates, features, taps, size)`` of a network in eval mode, for the first of ``sizes`` that it accepts.

    Args:
        net (nn.Module): A network of timm.
        sizes (Sequence[tuple]): Heights and widths of images to try.

    Raises:
        NoMapsError: It has no ``forward_intermediates``, accepts none of the sizes, or its head does not give from the
            features what the network gives.
    """
    if not hasattr(net, 'forward_intermediates'):
        raise NoMapsError('has no forward_intermediates')
    reason: Exception | None = None
    for height, width in sizes:
        image = torch.linspace(-2, 2, 3 * height * width).sin().view(1, 3, height, width)
        try:
            chosen = _choose(net, image)
            features, taps = chosen.run(net, image)
            kept = [tap.clone() for tap in taps]
            same = torch.equal(net.forward_head(features), net(image))
        except (RuntimeError, AssertionError, ValueError) as error:  # too small, or the network has a fixed input size
            reason = error
            continue
        if not same:
            raise NoMapsError('does not compute the same as forward_intermediates and its head one after another')
        if not all(map(torch.equal, taps, kept)):
            raise NoMapsError('overwrites a feature map that branches would read')
        return chosen, features, taps, (height, width)
    text = str(reason) or type(reason).__name__
    raise NoMapsError(f'cannot be run on an image of {sizes[-1][0]} x {sizes[-1][1]} pixels ({text})')


def _choose(net: nn.Module, image: Tensor) -> Intermediates:
    maps = net.forward_intermediates(image, intermediates_only=True)
    if any(not isinstance(each, Tensor) or each.dim() != 4 for each in maps):
        raise NoMapsError('gives intermediate features that are no maps')
    strides = strides_of(net)
    if len(strides) != len(maps):
        strides = [round(image.shape[2] / each.shape[2]) for each in maps]
    indices = choose(strides)
    return Intermediates(indices, tuple(strides[index] for index in indices), norm=len(set(strides)) == 1)
