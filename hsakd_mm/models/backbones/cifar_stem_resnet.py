"""ImageNet's ResNets behind a CIFAR stem: 3x3 at stride 1, no pooling."""

from torch import nn

from hsakd_mm.registry import MODELS

from .cifar import check_choice, he_init
from .cifar_resnet import ResidualStages

DEPTHS = {
    18: ('basic', (2, 2, 2, 2)),
    34: ('basic', (3, 4, 6, 3)),
    50: ('bottleneck', (3, 4, 6, 3)),
    101: ('bottleneck', (3, 4, 23, 3)),
    152: ('bottleneck', (3, 8, 36, 3)),
}


@MODELS.register_module()
class CifarStemResNet(ResidualStages):
    """Keys of ``models/resnetv2.py`` of winycg/HSAKD, whose ``ResNet50`` is the teacher.

    Args:
        depth (int): 18, 34, 50, 101 or 152.
        num_classes (int): N.

    Raises:
        UserError: No such depth.
    """

    stages = (('layer1',), ('layer2',), ('layer3',), ('layer4',))
    stage_strides = (1, 2, 2, 2)
    head = 'linear'
    shortcut = 'shortcut'

    def __init__(self, depth: int, num_classes: int) -> None:
        block, counts = DEPTHS[check_choice('CifarStemResNet', 'depth', depth, DEPTHS)]
        super().__init__(num_classes, 64, (64, 128, 256, 512), counts, block)

    def init_branch(self, branch: nn.Module) -> None:
        he_init(branch)
