"""Datasets and transforms; importing this registers them all.

Fine-grained sets (CUB, Stanford Cars and Dogs) are :class:`.ImageFolder`'s once they lie in
``train/<class>`` and ``test/<class>``, as many mirrors offer them; the originals keep the split in
a list beside the images. Readers of those lists, by torchvision's own classes where it has them,
belong beside :mod:`.cifar`.
"""

from . import transforms
from .cifar import CIFAR10, CIFAR100
from .image_folder import ImageFolder
from .stl10 import STL10
from .tiny_imagenet import TinyImageNet

__all__ = ['CIFAR10', 'CIFAR100', 'STL10', 'ImageFolder', 'TinyImageNet', 'transforms']
