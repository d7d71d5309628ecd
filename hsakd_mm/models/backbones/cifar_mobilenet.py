"""MobileNetV2 for CIFAR: stride 1 in stem and second group, so a 32 px image ends at 4 x 4."""

from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS

from .cifar import CifarBackbone, he_init

# Channels at width 1 and blocks of each group; the groups of a stage; as in the paper's table 2.
GROUPS = ((16, 1), (24, 2), (32, 3), (64, 4), (96, 3), (160, 3), (320, 1))
STAGE_GROUPS = ((0, 1), (2,), (3, 4), (5, 6))


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> list:
    """Convolution, BatchNorm, ReLU."""
    return [
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, 1x1 linear; with a residual connection where the shapes match."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expand_ratio: int) -> None:
        super().__init__()
        hidden = in_channels * expand_ratio
        self.adds = stride == 1 and in_channels == out_channels
        self.conv = nn.Sequential(
            *conv_bn_relu(in_channels, hidden, 1),
            *conv_bn_relu(hidden, hidden, 3, stride, groups=hidden),
            *conv_bn_relu(hidden, out_channels, 1)[:-1],
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.adds else self.conv(x)


@MODELS.register_module()
class CifarMobileNetV2(CifarBackbone):
    """Keys of ``models/mobilenetv2.py`` of winycg/HSAKD, whose students have half the width.

    Args:
        num_classes (int): N.
        width_mult (float): Factor of the channels of stem and groups. The last 1x1 convolution
            keeps 1280 channels below 1.
        expand_ratio (int): Factor within a block. The first group does not expand.

    Raises:
        UserError: ``width_mult`` is so small that a layer has no channel.
    """

    stem = ('conv1',)
    stages = tuple(tuple(f'blocks.{group}' for group in groups) for groups in STAGE_GROUPS)
    stage_strides = (1, 2, 2, 2)
    neck = ('conv2',)
    head = 'classifier'

    def __init__(self, num_classes: int, width_mult: float = 0.5, expand_ratio: int = 6) -> None:
        if width_mult < 1 / 16:
            raise UserError(
                f'CifarMobileNetV2 expects width_mult to be 1/16 or more, so that its '
                f'narrowest layer has a channel, and it is {width_mult!r}: choose for '
                f'example 0.5 or 1.0.'
            )
        self.expand_ratio = expand_ratio
        self.stem_channels = int(32 * width_mult)
        self.group_channels = [int(channels * width_mult) for channels, _ in GROUPS]
        super().__init__(
            num_classes,
            self.stem_channels,
            [self.group_channels[groups[-1]] for groups in STAGE_GROUPS],
            num_features=int(1280 * max(width_mult, 1.0)),
        )

    def build_stem(self) -> list:
        return [nn.Sequential(*conv_bn_relu(3, self.stem_channels, 3))]

    def build_stage(self, index: int, in_channels: int, stride: int) -> list:
        groups = []
        for group in STAGE_GROUPS[index]:
            out_channels, blocks = self.group_channels[group], []
            for _ in range(GROUPS[group][1]):
                blocks.append(InvertedResidual(in_channels, out_channels, stride, self.expand_ratio if group else 1))
                in_channels, stride = out_channels, 1
            groups.append(nn.Sequential(*blocks))
        return groups

    def build_neck(self) -> list:
        return [nn.Sequential(*conv_bn_relu(self.channels[-1], self.num_features, 1))]

    def init_backbone(self) -> None:
        he_init(self, linear='small')

    def init_branch(self, branch: nn.Module) -> None:
        he_init(branch, linear='small')
