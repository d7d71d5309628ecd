"""Light auxiliary branches of depthwise-separable convolutions, for networks with a heavy tail."""

from itertools import pairwise

from torch import nn

from hsakd_mm.models.backbones import StagedBackbone
from hsakd_mm.registry import MODELS

from .branch import Branch, Branches


def separable_block(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Depthwise 3x3 at ``stride``, pointwise, BN, ReLU; then the same at stride 1.

    The first pair keeps the width, the second changes it, as in the bottlenecks of "Be Your Own
    Teacher".
    """
    layers = []
    for out, step in ((in_channels, stride), (out_channels, 1)):
        layers += [
            nn.Conv2d(in_channels, in_channels, 3, step, 1, groups=in_channels, bias=False),
            nn.Conv2d(in_channels, out, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


class LightBranch(Branch):
    """One separable block for each remaining stage, pooling and a classifier.

    Args:
        backbone (StagedBackbone): Only its ``strides`` and ``channels`` are used.
        stage (int): Index of the tap that it reads, from 0. The last one has one block, at stride 1, and between
            taps of one stride, as those of a plain ViT, blocks have stride 1 as well.
        num_outputs (int): Outputs of the classifier, N·M for joint labels.
    """

    def __init__(self, backbone: StagedBackbone, stage: int, num_outputs: int) -> None:
        super().__init__()
        points = list(zip(backbone.channels, backbone.strides))[stage:]
        if len(points) == 1:
            points *= 2
        self.stages = nn.Sequential(
            *(
                separable_block(width, next_width, max(1, round(next_stride / stride)))
                for (width, stride), (next_width, next_stride) in pairwise(points)
            )
        )
        self.fc = nn.Linear(backbone.channels[-1], num_outputs)


@MODELS.register_module()
class LightBranches(Branches):
    """One :class:`LightBranch` after each stage, as an alternative to ``TailBranches``.

    The design is our decision, not HSAKD's, whose branches are copies of the network's tail.
    Separable blocks between a stage and its classifier are taken from Zhang et al., "Be Your Own
    Teacher" (ICCV 2019).

    Args:
        backbone (StagedBackbone): Whose feature maps they read.
        num_outputs (int): Outputs of each, N·M for joint labels.
        with_cp (bool): Activation checkpointing, see :class:`.Branches`.
    """

    def __init__(self, backbone: StagedBackbone, num_outputs: int, with_cp: bool = False) -> None:
        made = (LightBranch(backbone, stage, num_outputs) for stage in range(len(backbone.channels)))
        super().__init__(made, with_cp)
