"""ShuffleNetV2 (Ma et al., 2018) for CIFAR: a 1x1 stem, then three stages of stride 2."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsakd_mm.registry import MODELS

from .cifar import CifarBackbone, check_choice
from .shufflenet_v1 import STEM_CHANNELS, shuffle_channels

# Channels of the stages and of the last 1x1 convolution, and units after each stage's first.
SIZES = {
    0.2: ((40, 80, 160, 512), (3, 3, 3)),
    0.3: ((40, 80, 160, 512), (3, 7, 3)),
    0.5: ((48, 96, 192, 1024), (3, 7, 3)),
    1: ((116, 232, 464, 1024), (3, 7, 3)),
    1.5: ((176, 352, 704, 1024), (3, 7, 3)),
    2: ((224, 488, 976, 2048), (3, 7, 3)),
}


def depthwise(channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)


def pointwise(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 1, bias=False)


class BasicUnit(nn.Module):
    """Transforms one half of the channels, keeps the other one, and shuffles both."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1, self.bn1 = pointwise(half, half), nn.BatchNorm2d(half)
        self.conv2, self.bn2 = depthwise(half, stride=1), nn.BatchNorm2d(half)
        self.conv3, self.bn3 = pointwise(half, half), nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        passing, out = x.chunk(2, 1)
        out = F.relu(self.bn1(self.conv1(out)), inplace=True)
        out = self.bn2(self.conv2(out))
        out = F.relu(self.bn3(self.conv3(out)), inplace=True)
        return shuffle_channels(torch.cat([passing, out], 1), 2)


class DownUnit(nn.Module):
    """Down-sampling unit: both halves of the output are computed from all input channels."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.conv1, self.bn1 = depthwise(in_channels, stride), nn.BatchNorm2d(in_channels)
        self.conv2, self.bn2 = pointwise(in_channels, half), nn.BatchNorm2d(half)
        self.conv3, self.bn3 = pointwise(in_channels, half), nn.BatchNorm2d(half)
        self.conv4, self.bn4 = depthwise(half, stride), nn.BatchNorm2d(half)
        self.conv5, self.bn5 = pointwise(half, half), nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        left = self.bn1(self.conv1(x))
        left = F.relu(self.bn2(self.conv2(left)), inplace=True)
        right = F.relu(self.bn3(self.conv3(x)), inplace=True)
        right = self.bn4(self.conv4(right))
        right = F.relu(self.bn5(self.conv5(right)), inplace=True)
        return shuffle_channels(torch.cat([left, right], 1), 2)


@MODELS.register_module()
class ShuffleNetV2(CifarBackbone):
    """Keys of ``models/ShuffleNetv2.py`` of winycg/HSAKD.

    Args:
        num_classes (int): N.
        size (float): 0.2, 0.3, 0.5, 1, 1.5 or 2.

    Raises:
        UserError: No such size.
    """

    stem = ('conv1', 'bn1', 'relu')
    stages = (('layer1',), ('layer2',), ('layer3',))
    stage_strides = (2, 2, 2)
    neck = ('conv2', 'bn2', 'relu2')
    head = 'linear'

    def __init__(self, num_classes: int, size: float = 1) -> None:
        channels, self.counts = SIZES[check_choice('ShuffleNetV2', 'size', size, SIZES)]
        super().__init__(num_classes, STEM_CHANNELS, channels[:3], num_features=channels[3])

    def build_stem(self) -> list:
        return [pointwise(3, STEM_CHANNELS), nn.BatchNorm2d(STEM_CHANNELS), nn.ReLU(inplace=True)]

    def build_stage(self, index: int, in_channels: int, stride: int) -> list:
        channels = self.channels[index]
        return [
            nn.Sequential(
                DownUnit(in_channels, channels, stride), *(BasicUnit(channels) for _ in range(self.counts[index]))
            )
        ]

    def build_neck(self) -> list:
        return [
            pointwise(self.channels[-1], self.num_features),
            nn.BatchNorm2d(self.num_features),
            nn.ReLU(inplace=True),
        ]
