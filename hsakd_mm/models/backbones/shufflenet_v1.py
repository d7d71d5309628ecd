"""ShuffleNet (Zhang et al., 2018) for CIFAR: a 1x1 stem, then three stages of stride 2."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsakd_mm.registry import MODELS

from .cifar import CifarBackbone, he_init

STEM_CHANNELS = 24
GROUPS = 3


def shuffle_channels(features: Tensor, groups: int) -> Tensor:
    """Channel shuffle of ``[B, C, H, W]``: channels ``[g, C/g]`` transposed to ``[C/g, g]``."""
    return features.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


class Unit(nn.Module):
    """Grouped 1x1, shuffle, 3x3 depthwise, grouped 1x1; added to the input, at stride 2 concatenated.

    Args:
        in_channels (int): Input channels. The stem's 24 are not grouped.
        out_channels (int): Output channels; at stride 2 they include the pooled input.
        stride (int): 1 or 2.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        own = out_channels - in_channels if stride == 2 else out_channels
        middle = own // 4
        self.stride = stride
        self.groups = 1 if in_channels == STEM_CHANNELS else GROUPS
        self.conv1 = nn.Conv2d(in_channels, middle, 1, groups=self.groups, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, 1, groups=middle, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, own, 1, groups=GROUPS, bias=False)
        self.bn3 = nn.BatchNorm2d(own)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = shuffle_channels(out, self.groups)
        # The reference code puts a ReLU after the depthwise convolution; the paper does not.
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(out))
        if self.stride == 2:
            return F.relu(torch.cat([out, F.avg_pool2d(x, 3, 2, 1)], 1), inplace=True)
        return F.relu(out + x, inplace=True)


@MODELS.register_module()
class ShuffleNetV1(CifarBackbone):
    """Three groups, 240/480/960 channels; keys of ``models/ShuffleNetv1.py`` of winycg/HSAKD.

    Args:
        num_classes (int): N.
    """

    stem = ('conv1', 'bn1', 'relu')
    stages = (('layer1',), ('layer2',), ('layer3',))
    stage_strides = (2, 2, 2)
    counts = (4, 8, 4)
    head = 'linear'

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, STEM_CHANNELS, (240, 480, 960))

    def build_stem(self) -> list:
        return [nn.Conv2d(3, STEM_CHANNELS, 1, bias=False), nn.BatchNorm2d(STEM_CHANNELS), nn.ReLU(inplace=True)]

    def build_stage(self, index: int, in_channels: int, stride: int) -> list:
        channels = self.channels[index]
        return [
            nn.Sequential(
                Unit(in_channels, channels, stride),
                *(Unit(channels, channels, 1) for _ in range(self.counts[index] - 1)),
            )
        ]

    def init_branch(self, branch: nn.Module) -> None:
        he_init(branch, linear='zero_bias')
