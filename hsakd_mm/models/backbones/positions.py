"""Position embeddings of another image size, of families for which timm's converter does not resample them."""

import math
import re
from collections.abc import Mapping

from timm.layers import resample_abs_pos_embed, resample_abs_pos_embed_nhwc
from torch import Tensor

NAMES = re.compile(r'(.*\.)?pos_embed\d*')


def resample_positions(own: Mapping[str, Tensor], state_dict: Mapping[str, Tensor], image_size: tuple) -> dict:
    """``state_dict`` with its position embeddings in the shapes of ``own``, where they are one grid (CaiT, VOLO ...).

    Args:
        own (Mapping): The network's state dict.
        state_dict (Mapping): Weights under the network's names.
        image_size (tuple[int]): Height and width of the network's images; the weights' own were square.
    """
    return {
        key: _resampled(value, own[key], image_size) if key in own and NAMES.fullmatch(key) else value
        for key, value in state_dict.items()
    }


def _resampled(theirs: Tensor, ours: Tensor, image_size: tuple) -> Tensor:
    if theirs.shape == ours.shape or theirs.dim() != ours.dim() or len(theirs) != len(ours) or len(ours) != 1:
        return theirs
    if ours.dim() == 3 and theirs.shape[2] == ours.shape[2]:  # [1, h * w, C]
        old, new = _grid(theirs.shape[1], (1, 1)), _grid(ours.shape[1], image_size)
        return resample_abs_pos_embed(theirs, list(new), list(old), num_prefix_tokens=0) if old and new else theirs
    if ours.dim() == 4 and theirs.shape[3] == ours.shape[3] and theirs.shape[1] == theirs.shape[2]:  # [1, h, w, C]
        return resample_abs_pos_embed_nhwc(theirs, list(ours.shape[1:3]))
    if ours.dim() == 4 and theirs.shape[1] == ours.shape[1] and theirs.shape[2] == theirs.shape[3]:  # [1, C, h, w]
        new_nhwc = resample_abs_pos_embed_nhwc(theirs.permute(0, 2, 3, 1), list(ours.shape[2:]))
        return new_nhwc.permute(0, 3, 1, 2).contiguous()
    return theirs


def _grid(count: int, shape: tuple) -> tuple | None:
    """Rows and columns of ``count`` patches in an image of these proportions."""
    patch = math.sqrt(shape[0] * shape[1] / count)
    rows, columns = round(shape[0] / patch), round(shape[1] / patch)
    return (rows, columns) if rows * columns == count else None
