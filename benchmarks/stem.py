"""A ResNet's first convolution as one over blocks of 2x2 pixels, which tensor cores may take faster. A candidate.

The 7x7 kernel of stride 2 sees three channels, for which a GPU's kernels are not made: of the compiled step of
docs/bench/gpu_h100 the first convolutions are inferred to take a tenth. Put into 12 channels of half the size, the
images meet a 4x4 kernel of stride 1 (space to depth, as in MLPerf's ResNets); a row and a column of its weights are 0.
What is computed is the same. It becomes part of the package if a GPU shows a gain: lever ``stem`` of benchmark_step.py.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def use_blocks(model: nn.Module) -> int:
    """Replace the convolutions of 3 channels, 7x7, stride 2 and padding 3. Returns their number."""
    found = [module for module in model.modules() if isinstance(module, nn.Conv2d) and _fits(module)]
    for module in found:
        module._conv_forward = over_blocks
    return len(found)


def _fits(conv: nn.Conv2d) -> bool:
    shape = (conv.in_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups)
    return shape == (3, (7, 7), (2, 2), (3, 3), (1, 1), 1) and conv.padding_mode == 'zeros'


def over_blocks(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``conv2d(images, weight, bias, stride=2, padding=3)`` of ``[B, 3, H, W]`` and ``[O, 3, 7, 7]``, H and W even."""
    blocks = F.pixel_unshuffle(F.pad(images, (4, 2, 4, 2)), 2)
    kernel = F.pixel_unshuffle(F.pad(weight, (1, 0, 1, 0)), 2)
    if images.is_contiguous(memory_format=torch.channels_last):
        blocks = blocks.contiguous(memory_format=torch.channels_last)
        kernel = kernel.contiguous(memory_format=torch.channels_last)
    return F.conv2d(blocks, kernel, bias)
