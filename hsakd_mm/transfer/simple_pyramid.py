"""A feature pyramid of one feature map, for plain vision transformers."""

import math

import torch.nn.functional as F
from mmengine.model import BaseModule
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """ViTDet's neck (Li et al., "Exploring Plain Vision Transformer Backbones for Object Detection", 2022, section 3).

    A plain ViT's last map is the strongest of its maps, which all have one stride. Each level is made of it alone: by
    2x2 deconvolutions (with LayerNorm and GELU between two of them; each halves the channels), as it is, or by max
    pooling. A 1x1 and a 3x3 convolution follow, each with LayerNorm over the channels.

    Args:
        in_channels (int | Sequence[int]): Channels of the backbone's map, or of its maps, of which the last is read;
            ``'auto'`` in a config.
        out_channels (int): Channels of each level.
        num_outs (int): Levels. Those behind ``strides`` are made by max pooling, as MMDetection's FPN makes P6.
        in_stride (int): Stride of the backbone's map. If it is no power of two (DINOv2's 14), the map is first
            resampled bilinearly to the next larger one.
        strides (Sequence[int]): Of the levels; ``(8, 16, 32)`` for a detector that takes three.
        init_cfg (dict): See :class:`~mmengine.model.BaseModule`; by default torch's initialisation.

    Raises:
        UserError: ``num_outs`` or a stride makes no pyramid.

    Example:
        >>> neck = SimpleFeaturePyramid(384)
        >>> [tuple(level.shape[2:]) for level in neck((torch.rand(1, 384, 8, 12),))]
        [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    """

    def __init__(
        self,
        in_channels: int | list,
        out_channels: int = 256,
        num_outs: int = 5,
        in_stride: int = 16,
        strides: tuple = (4, 8, 16, 32),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_outs < len(strides) or not all(stride > 0 and math.log2(stride).is_integer() for stride in strides):
            raise UserError(
                f'SimpleFeaturePyramid makes a level of each stride, all powers of two, and others behind them, and '
                f'got strides={tuple(strides)}, num_outs={num_outs}: correct them, for example strides=(4, 8, 16, 32), '
                f'num_outs=5.'
            )
        channels: int = in_channels if isinstance(in_channels, int) else in_channels[-1]
        self.num_outs = num_outs
        base = 2 ** math.ceil(math.log2(in_stride))
        self.scale = in_stride / base
        self.levels = nn.ModuleList(_level(channels, out_channels, base / stride) for stride in strides)

    def forward(self, maps: tuple) -> tuple:
        """Levels ``[B, out_channels, h, w]``; ``maps`` are the backbone's."""
        features: Tensor = maps[-1]
        if self.scale != 1:
            # Down to whole pixels: at the stride of `base`, a padded image's map is as large as the image's.
            features = F.interpolate(
                features, scale_factor=self.scale, mode='bilinear', align_corners=False, recompute_scale_factor=False
            )
        levels = [level(features) for level in self.levels]
        while len(levels) < self.num_outs:
            levels.append(F.max_pool2d(levels[-1], 1, stride=2))
        return tuple(levels)


def _level(channels: int, out_channels: int, factor: float) -> nn.Sequential:
    layers: list = []
    if factor < 1:
        layers.append(nn.MaxPool2d(round(1 / factor)))
    for step in range(round(math.log2(max(factor, 1)))):
        if step:
            layers += [LayerNorm2d(channels), nn.GELU()]
        layers.append(nn.ConvTranspose2d(channels, channels // 2, 2, stride=2))
        channels //= 2
    return nn.Sequential(
        *layers,
        nn.Conv2d(channels, out_channels, 1, bias=False),
        LayerNorm2d(out_channels),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        LayerNorm2d(out_channels),
    )
