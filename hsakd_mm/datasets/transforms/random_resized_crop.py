"""Decodes of a JPEG no more pixels than the crop needs."""

from collections.abc import Sequence

import torch
from PIL import Image
from torchvision.transforms import RandomResizedCrop

from hsakd_mm.datasets.images import read_rgb
from hsakd_mm.errors import UserError
from hsakd_mm.registry import TRANSFORMS

from .loading import box_of

REDUCTIONS = (8, 4, 2)  # which a JPEG's decoder knows: of each block of 8 x 8 pixels it computes fewer


@TRANSFORMS.register_module()
class LoadRandomResizedCrop:
    """``LoadImage`` and ``torchvision/RandomResizedCrop`` in one: the crop is chosen first, and then decoded.

    Where the crop is at least twice as large as the result, a JPEG is decoded at a half, a quarter or an eighth of its
    size. The crop is the same as that of the two transforms with the same random numbers; its pixels are the same where
    nothing is reduced, and otherwise those of another smoothing filter.

    Args:
        size (int): Pixels a side of the result.
        scale (Sequence[float]): Share of the area, from and to.
        ratio (Sequence[float]): Width to height, from and to.
        non_rgb (str, optional): As of :class:`LoadImage`.
    """

    def __init__(
        self,
        size: int,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        non_rgb: str | None = None,
    ) -> None:
        if not isinstance(size, int) or size < 1:
            raise UserError(
                f'size of LoadRandomResizedCrop is a number of pixels a side, and it is {size!r}: give 224.'
            )
        self.size, self.scale, self.ratio = size, list(scale), list(ratio)
        self.non_rgb = non_rgb

    def __call__(self, results: dict) -> dict:
        chosen: list = []

        def reduction(whole: tuple[int, int]) -> int:
            x, y, right, bottom = box_of(results, whole) or (0, 0, *whole)
            sizes_alone = torch.empty((1, bottom - y, right - x), device='meta')
            top, left, height, width = RandomResizedCrop.get_params(sizes_alone, self.scale, self.ratio)
            left, top = x + left, y + top
            chosen.extend((whole, (left, top, left + width, top + height)))
            return next((factor for factor in REDUCTIONS if min(height, width) >= factor * self.size), 1)

        image = read_rgb(results['img_path'], self.non_rgb or results.get('non_rgb', 'error'), reduction)
        whole, box = chosen
        if image.size != whole:
            box = tuple(edge * image.size[side % 2] / whole[side % 2] for side, edge in enumerate(box))
            image = image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box)
        else:
            image = image.crop(box).resize((self.size, self.size), Image.Resampling.BILINEAR)
        results['img'] = image
        return results
