"""The strides of a timm network's feature maps: told to the neck, and compared with those of the detector's head.

A head whose anchors have other strides than its levels trains without a word, and finds nothing where it should.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from hsakd_mm.errors import UserError

PYRAMID = 'SimpleFeaturePyramid'


def match_in_stride(key: str, neck: dict, strides: Sequence[int]) -> None:
    """Fill in, or check, the stride of the map that :class:`~.simple_pyramid.SimpleFeaturePyramid` reads.

    Args:
        key (str): The neck's place in the config.
        neck (dict): Its config, of any type.
        strides (Sequence[int]): Of the backbone's maps.

    Raises:
        UserError: It is another one.
    """
    if not str(neck.get('type', '')).endswith(PYRAMID):
        return
    given = neck.setdefault('in_stride', strides[-1])
    if given != strides[-1]:
        raise UserError(
            f"{key}.in_stride is the stride of the backbone's last map, {strides[-1]}, and it is {given}: correct it, "
            f'or leave it out.'
        )


def check_levels(model: Mapping, levels: Sequence[Tensor], pixels: int, build: Callable) -> None:
    """Compare the sizes of the neck's levels with the strides of the head's anchors or points.

    Args:
        model (Mapping): A detector's config.
        levels (Sequence[Tensor]): Of an image of ``pixels`` x ``pixels``.
        pixels (int): Its size.
        build (Callable): Builds a module from its config.

    Raises:
        UserError: The head expects other levels.
    """
    for part in ('rpn_head', 'bbox_head'):
        head = model.get(part)
        strides = _strides(head, build) if isinstance(head, Mapping) else None
        if not strides:
            continue
        expected = [stride[0] if isinstance(stride, list | tuple) else stride for stride in strides]
        sizes = [level.shape[2] for level in levels]
        fits = len(sizes) == len(expected) and all(
            abs(size - math.ceil(pixels / stride)) <= 1 + size // 16 for size, stride in zip(sizes, expected)
        )
        if not fits:
            found = [round(pixels / size) for size in sizes]
            raise UserError(
                f'model.{part} expects levels at the strides {expected}, and backbone and neck give levels at {found}: '
                f'choose the maps with model.backbone.out_indices, a network with maps at these strides, or change '
                f'the strides of the head.'
            )


def _strides(head: Mapping, build: Callable) -> Sequence | None:
    """The strides of a head's levels; None if it has none (DETR), or cannot be built by itself."""
    if strides := (head.get('anchor_generator') or {}).get('strides'):
        return strides
    try:  # FCOS, YOLOX and RepPoints each name them in another way, and each has a default
        generator = getattr(build(copy.deepcopy(head)), 'prior_generator', None)
    except Exception:  # building the detector will say it
        return None
    return getattr(generator, 'strides', None)
