"""VGG for CIFAR: five blocks of 3x3 convolutions, one Linear instead of three."""

from torch import Tensor, nn

from hsakd_mm.registry import MODELS

from .cifar import CifarBackbone, check_choice, he_init

WIDTHS = (64, 128, 256, 512, 512)
COUNTS = {8: (1, 1, 1, 1, 1), 11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


@MODELS.register_module()
class VGG(CifarBackbone):
    """Keys of ``models/vgg.py`` of winycg/HSAKD.

    Four stages: the last one holds blocks 3 and 4, without pooling between them. As in the reference
    code, images that are exactly 64 pixels high are pooled there, in the backbone but not in its
    branches; the stride of the last stage is then 16 instead of 8.

    Args:
        depth (int): 8, 11, 13, 16 or 19.
        num_classes (int): N.
        batch_norm (bool): BatchNorm after each convolution.

    Raises:
        UserError: No such depth.
    """

    stages = (
        ('block0', 'relu0'),
        ('pool0', 'block1', 'relu1'),
        ('pool1', 'block2', 'relu2'),
        ('pool2', 'block3', 'relu3', 'block4', 'relu4'),
    )
    stage_strides = (1, 2, 2, 2)
    head = 'classifier'

    def __init__(self, depth: int, num_classes: int, batch_norm: bool = True) -> None:
        self.counts = COUNTS[check_choice('VGG', 'depth', depth, COUNTS)]
        self.batch_norm = batch_norm
        super().__init__(num_classes, 3, (*WIDTHS[:3], WIDTHS[4]))
        self.pool3 = nn.MaxPool2d(2)

    def _block(self, index: int, in_channels: int) -> list:
        """A block without its last ReLU, and that ReLU, which has a key of its own in the reference code."""
        layers = []
        for _ in range(self.counts[index]):
            layers.append(nn.Conv2d(in_channels, WIDTHS[index], 3, padding=1))
            if self.batch_norm:
                layers.append(nn.BatchNorm2d(WIDTHS[index]))
            layers.append(nn.ReLU(inplace=True))
            in_channels = WIDTHS[index]
        return [nn.Sequential(*layers[:-1]), layers[-1]]

    def build_stage(self, index: int, in_channels: int, stride: int) -> list:
        pool = [nn.MaxPool2d(stride)] if stride > 1 else []
        further = self._block(4, WIDTHS[3]) if index == 3 else []
        return [*pool, *self._block(index, in_channels), *further]

    def stage_names(self, images: Tensor) -> list:
        if images.shape[2] != 64:
            return super().stage_names(images)
        return [*super().stage_names(images)[:3], ('pool2', 'block3', 'relu3', 'pool3', 'block4', 'relu4')]

    def init_backbone(self) -> None:
        he_init(self, linear='small')
