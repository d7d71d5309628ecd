"""Datasets and transforms; importing this registers them all.

Fine-grained sets (CUB, Stanford Cars and Dogs) are read by :class:`.ImageFolder` if they are sorted
into ``train/<class>`` and ``test/<class>``, as many mirrors offer them. The original archives keep
the split in a list beside the images; readers of those lists belong beside :mod:`.cifar` and should
use torchvision's classes where it has them.
"""

from . import transforms
from .box_crops import BoxCrops
from .cifar import CIFAR10, CIFAR100
from .image_folder import ImageFolder
from .stateless_sampler import StatelessBatchSampler
from .stl10 import STL10
from .tiny_imagenet import TinyImageNet
from .unlabelled import UnlabelledImages

__all__ = [
    'CIFAR10',
    'CIFAR100',
    'STL10',
    'BoxCrops',
    'ImageFolder',
    'StatelessBatchSampler',
    'TinyImageNet',
    'UnlabelledImages',
    'transforms',
]
