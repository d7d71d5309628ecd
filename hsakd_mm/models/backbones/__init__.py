from .cifar import CifarBackbone
from .cifar_mobilenet import CifarMobileNetV2
from .cifar_resnet import CifarResNet
from .cifar_stem_resnet import CifarStemResNet
from .shufflenet_v1 import ShuffleNetV1
from .shufflenet_v2 import ShuffleNetV2
from .staged import StagedBackbone
from .timm_backbone import TimmBackbone
from .vgg import VGG
from .wide_bottleneck import WideBottleneckResNet
from .wide_resnet import WideResNet

__all__ = [
    'VGG',
    'CifarBackbone',
    'CifarMobileNetV2',
    'CifarResNet',
    'CifarStemResNet',
    'ShuffleNetV1',
    'ShuffleNetV2',
    'StagedBackbone',
    'TimmBackbone',
    'WideBottleneckResNet',
    'WideResNet',
]
