"""Which image sizes a network takes, and how an image of any size becomes one of them: by zeros right and below."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hsakd_mm.errors import UserError

# Patches of 2 to 32 pixels, windows of 7 and 8, blocks of 8 at stride 32.
MULTIPLES = (1, 2, 4, 7, 8, 14, 16, 28, 32, 56, 64, 112, 128, 192, 224, 256)
SMALLEST = 96  # pixels of the images that are tried: Inception's convolutions without padding leave nothing of 64
SEVERAL = 64  # a larger multiple is not looked for where a smaller one gives nearly the right sizes
NEAR = 6  # pixels of a map that convolutions without padding may cost it
FAILURES = (RuntimeError, AssertionError, ValueError, IndexError, TypeError, UserError)


@dataclass(frozen=True)
class ImageSizes:
    """The sizes that a network takes.

    Args:
        multiple (int): Height and width have to be multiples of this.
        canvas (tuple[int]): The one height and width that it takes, or None.
        name (str): Of the network, for the message.
        hint (str): What to do about an image larger than the canvas.
    """

    multiple: int = 1
    canvas: tuple | None = None
    name: str = ''
    hint: str = ''

    def pad(self, images: Tensor) -> Tensor:
        """``images: [B, 3, H, W]`` with zeros right and below, up to a size that the network takes.

        Raises:
            UserError: They are larger than the only size that it takes.
        """
        height, width = images.shape[2:]
        target = self.canvas or [_round_up(side, self.multiple) for side in (height, width)]
        if height > target[0] or width > target[1]:
            raise UserError(
                f'{self.name!r} takes images of one size, {target[0]} x {target[1]} pixels, to which smaller ones are '
                f'padded, and got {height} x {width}: {self.hint}.'
            )
        return F.pad(images, (0, target[1] - width, 0, target[0] - height))

    @staticmethod
    def crop(maps: Sequence, strides: Sequence, size: tuple) -> tuple:
        """The part of each map that belongs to images of ``size``, before they were padded."""
        return tuple(
            features[:, :, : -(-size[0] // stride), : -(-size[1] // stride)] for features, stride in zip(maps, strides)
        )


@torch.no_grad()
def find_multiple(run: Callable, strides: Sequence) -> int | None:
    """Of which number height and width have to be multiples; None if the network takes one size only.

    Two sizes that are not square are tried for each of :data:`MULTIPLES`. Maps of ``ceil(H / stride)`` are preferred;
    where no multiple gives these (Inception) those that are nearly as large will do.

    Args:
        run (Callable): The feature maps of images, in eval mode.
        strides (Sequence): Of the maps.
    """
    near = None
    for multiple in MULTIPLES:
        if near and multiple > SEVERAL:
            break
        first, second = tried_sizes(multiple)
        found = [_maps_fit(run, strides, first)]
        if found[0] is not None:
            found.append(_maps_fit(run, strides, second))
        if None in found:
            continue
        if all(found):
            return multiple
        near = near or multiple
    return near


def tried_sizes(multiple: int) -> tuple:
    """Two small sizes that are multiples of a number and not square."""
    least = -(-SMALLEST // multiple)
    return tuple((count * multiple, (count + 2) * multiple) for count in (least, least + 1))


def _maps_fit(run: Callable, strides: Sequence, size: tuple) -> bool | None:
    """Whether the maps of an image of this size have ``ceil(H / stride)`` pixels; None if they are not even near."""
    try:
        maps = [features.shape[2:] for features in run(torch.zeros(1, 3, *size))]
    except FAILURES:
        return None
    sides = [(shape[i], size[i], stride) for shape, stride in zip(maps, strides) for i in range(2)]
    if any(abs(side - pixels / stride) > NEAR for side, pixels, stride in sides):
        return None
    return all(side == -(-pixels // stride) for side, pixels, stride in sides)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
