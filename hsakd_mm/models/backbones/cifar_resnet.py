"""ResNets for CIFAR: a 3x3 stem without pooling and three stages (He et al., 2016, section 4.2)."""

import torch.nn.functional as F
from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS

from .cifar import CifarBackbone, blocks_per_stage, check_choice, he_init


def conv_bn(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> tuple:
    """A padded convolution without bias, and its BatchNorm."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    return conv, nn.BatchNorm2d(out_channels)


class ResidualBlock(nn.Module):
    """Post-activation residual block: basic with kernels (3, 3), bottleneck with (1, 3, 1).

    Args:
        in_channels (int): Input channels.
        width (int): Inner channels; the output has ``width * expansion``.
        kernels (tuple[int]): Kernel sizes. The first 3x3 convolution has the stride.
        expansion (int): 1 for basic, 4 for bottleneck.
        stride (int): 1 or 2.
        shortcut (str): Name of the projection, which differs between families; ``'pad'``: none has parameters, pixels
            are left out and channels of zeros added on both sides.
    """

    def __init__(
        self, in_channels: int, width: int, kernels: tuple, expansion: int, stride: int, shortcut: str
    ) -> None:
        super().__init__()
        self.depth, self.shortcut_name = len(kernels), shortcut
        out_channels = width * expansion
        self.stride, self.more_channels = stride, out_channels - in_channels
        widths = (in_channels, *[width] * (self.depth - 1), out_channels)
        for index, kernel in enumerate(kernels):
            step = stride if index == kernels.index(3) else 1
            conv, norm = conv_bn(widths[index], widths[index + 1], kernel, step)
            self.add_module(f'conv{index + 1}', conv)
            self.add_module(f'bn{index + 1}', norm)
        self.projects = stride != 1 or in_channels != out_channels
        if self.projects and shortcut != PAD:
            self.add_module(shortcut, nn.Sequential(*conv_bn(in_channels, out_channels, 1, stride)))

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for index in range(1, self.depth + 1):
            out = getattr(self, f'bn{index}')(getattr(self, f'conv{index}')(out))
            if index < self.depth:
                out = F.relu(out, inplace=True)
        out += self.skip(x) if self.projects else x
        return F.relu(out, inplace=True)

    def skip(self, x: Tensor) -> Tensor:
        if self.shortcut_name != PAD:
            return getattr(self, self.shortcut_name)(x)
        front = self.more_channels // 2
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, front, self.more_channels - front))


PAD = 'pad'
BLOCKS: dict = {'basic': dict(kernels=(3, 3), expansion=1), 'bottleneck': dict(kernels=(1, 3, 1), expansion=4)}


class ResidualStages(CifarBackbone):
    """Stages of :class:`ResidualBlock` behind a 3x3 stem, named as ``layer1``, ``layer2``, ...

    Args:
        num_classes (int): N.
        stem_channels (int): Channels of the stem.
        widths (tuple[int]): Width of each stage.
        counts (tuple[int]): Blocks of each stage.
        block (str): ``'basic'`` or ``'bottleneck'``.
    """

    stem = ('conv1', 'bn1', 'relu')
    shortcut = 'downsample'

    def __init__(self, num_classes: int, stem_channels: int, widths: tuple, counts: tuple, block: str) -> None:
        self.block, self.widths, self.counts = block, tuple(widths), tuple(counts)
        self.stem_channels = stem_channels
        expansion = BLOCKS[block]['expansion']
        super().__init__(num_classes, stem_channels, [width * expansion for width in widths])

    def build_stem(self) -> list:
        return [*conv_bn(3, self.stem_channels, 3), nn.ReLU(inplace=True)]

    def build_stage(self, index: int, in_channels: int, stride: int) -> list:
        width, blocks = self.widths[index], []
        for _ in range(self.counts[index]):
            blocks.append(
                ResidualBlock(in_channels, width, **BLOCKS[self.block], stride=stride, shortcut=self.shortcut)
            )
            in_channels, stride = self.channels[index], 1
        return [nn.Sequential(*blocks)]

    def init_backbone(self) -> None:
        he_init(self)


@MODELS.register_module()
class CifarResNet(ResidualStages):
    """ResNet-8, 20, 32, 44, 56, 110; keys of ``models/resnet.py`` of winycg/HSAKD.

    Args:
        depth (int): 6n+2 (basic) or 9n+2 (bottleneck).
        num_classes (int): N.
        width (tuple[int]): Channels of stem and stages; ``(32, 64, 128, 256)`` for the "x4" ones.
        block (str): ``'basic'`` or ``'bottleneck'``.
        shortcut (str): ``'downsample'``: a projection where the shape changes, as in winycg/HSAKD. ``'pad'``: option A
            of He et al., without parameters; the classifier is then named ``linear``, as in
            akamaster/pytorch_resnet_cifar10, whose weights it loads.

    Raises:
        UserError: No such depth, block or shortcut, or not four widths.

    Example:
        >>> net = CifarResNet(depth=20, num_classes=100)
        >>> [tuple(tap.shape) for tap in net.forward_taps(torch.rand(2, 3, 32, 32))]
        [(2, 16, 32, 32), (2, 32, 16, 16), (2, 64, 8, 8)]
    """

    stages = (('layer1',), ('layer2',), ('layer3',))
    stage_strides = (1, 2, 2)

    def __init__(
        self,
        depth: int,
        num_classes: int,
        width: tuple = (16, 16, 32, 64),
        block: str = 'basic',
        shortcut: str = 'downsample',
    ) -> None:
        check_choice('CifarResNet', 'block', block, BLOCKS)
        check_choice('CifarResNet', 'shortcut', shortcut, ('downsample', PAD))
        self.shortcut = shortcut
        if shortcut == PAD:
            self.head = 'linear'
        count = blocks_per_stage(f'CifarResNet with {block} blocks', depth, step=6 if block == 'basic' else 9, offset=2)
        if len(width) != 4:
            raise UserError(
                f'CifarResNet expects four widths, of stem and three stages, and '
                f'width is {tuple(width)}: set for example (16, 16, 32, 64).'
            )
        super().__init__(num_classes, width[0], width[1:], (count,) * 3, block)

    def init_branch(self, branch: nn.Module) -> None:
        he_init(branch, linear='zero_bias')
