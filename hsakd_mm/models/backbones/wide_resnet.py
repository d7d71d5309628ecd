"""Wide ResNets for CIFAR: pre-activation blocks, so the last BatchNorm comes after the stages."""

import torch.nn.functional as F
from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS

from .cifar import CifarBackbone, blocks_per_stage, he_init


class PreActivationBlock(nn.Module):
    """BN, ReLU, 3x3, BN, ReLU, 3x3. A projection takes the activated input, an identity the input itself.

    ``convShortcut`` is the reference code's name.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.convShortcut = None
        if in_channels != out_channels:
            self.convShortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x), inplace=True)
        out = self.conv2(F.relu(self.bn2(self.conv1(active)), inplace=True))
        return out + (x if self.convShortcut is None else self.convShortcut(active))


class Stage(nn.Module):
    """Blocks under the name ``layer``, as in the reference code."""

    def __init__(self, blocks: list) -> None:
        super().__init__()
        self.layer = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


@MODELS.register_module()
class WideResNet(CifarBackbone):
    """WRN-d-k (Zagoruyko and Komodakis, 2016); keys of ``models/wrn.py`` of winycg/HSAKD.

    Its taps are sums before BatchNorm and ReLU; a branch ends in its own BatchNorm and ReLU.

    Args:
        depth (int): 6n+4: 16, 22, 28, 40.
        widen_factor (int): k.
        num_classes (int): N.

    Raises:
        UserError: No such depth or factor.
    """

    stem = ('conv1',)
    stages = (('block1',), ('block2',), ('block3',))
    stage_strides = (1, 2, 2)
    neck = ('bn1', 'relu')

    def __init__(self, depth: int, widen_factor: int, num_classes: int) -> None:
        self.count = blocks_per_stage('WideResNet', depth, step=6, offset=4)
        if not isinstance(widen_factor, int) or widen_factor < 1:
            raise UserError(
                f'WideResNet expects widen_factor to be an integer of at least 1, and it '
                f'is {widen_factor!r}: choose for example 1, 2 or 4.'
            )
        super().__init__(num_classes, 16, [width * widen_factor for width in (16, 32, 64)])

    def build_stem(self) -> list:
        return [nn.Conv2d(3, 16, 3, padding=1, bias=False)]

    def build_stage(self, index: int, in_channels: int, stride: int) -> list:
        out_channels = self.channels[index]
        first = PreActivationBlock(in_channels, out_channels, stride)
        return [Stage([first, *(PreActivationBlock(out_channels, out_channels, 1) for _ in range(self.count - 1))])]

    def build_neck(self) -> list:
        return [nn.BatchNorm2d(self.channels[-1]), nn.ReLU(inplace=True)]

    def init_backbone(self) -> None:
        he_init(self, linear='zero_bias')

    def init_branch(self, branch: nn.Module) -> None:
        he_init(branch, linear='zero_bias')
