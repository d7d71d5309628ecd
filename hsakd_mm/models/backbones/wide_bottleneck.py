"""CSS's wide ResNets for CIFAR: bottlenecks with wider inner convolutions."""

from torch import nn

from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS

from .cifar_resnet import CifarResNet, ResidualBlock, conv_bn


class WideBottleneck(ResidualBlock):
    """1x1, 3x3, 1x1 with ``inside`` channels between them and ``out_channels`` at the end."""

    def __init__(self, in_channels: int, inside: int, out_channels: int, stride: int) -> None:
        nn.Module.__init__(self)
        self.depth, self.shortcut_name = 3, 'downsample'
        widths = (in_channels, inside, inside, out_channels)
        for number, (kernel, step) in enumerate(((1, 1), (3, stride), (1, 1)), 1):
            conv, norm = conv_bn(widths[number - 1], widths[number], kernel, step)
            self.add_module(f'conv{number}', conv)
            self.add_module(f'bn{number}', norm)
        self.projects = stride != 1 or in_channels != out_channels
        if self.projects:
            self.downsample = nn.Sequential(*conv_bn(in_channels, out_channels, 1, stride))


@MODELS.register_module()
class WideBottleneckResNet(CifarResNet):
    """``wide_resnet20_8`` of PumpkinsLemon/CSS, with its keys: depth 20, widen_factor 8.

    Not a WRN-d-k of Zagoruyko and Komodakis, which is :class:`WideResNet`: only the inner
    convolutions are wider, as in torchvision's ``wide_resnet50_2``.

    Args:
        depth (int): 9n+2.
        widen_factor (int): Width of the inner convolutions, relative to a plain bottleneck;
            ``width_per_group`` / 64 in the reference code.
        num_classes (int): N.

    Raises:
        UserError: No such depth or factor.
    """

    def __init__(self, depth: int, widen_factor: int, num_classes: int) -> None:
        if not isinstance(widen_factor, int) or widen_factor < 1:
            raise UserError(
                f'WideBottleneckResNet expects widen_factor to be an integer of at least '
                f'1, and it is {widen_factor!r}: choose for example 2 or 8.'
            )
        self.widen_factor = widen_factor
        super().__init__(depth, num_classes, block='bottleneck')

    def build_stage(self, index: int, in_channels: int, stride: int) -> list:
        inside, out_channels, blocks = (self.widths[index] * self.widen_factor, self.widths[index] * 4, [])
        for _ in range(self.counts[index]):
            blocks.append(WideBottleneck(in_channels, inside, out_channels, stride))
            in_channels, stride = out_channels, 1
        return [nn.Sequential(*blocks)]
