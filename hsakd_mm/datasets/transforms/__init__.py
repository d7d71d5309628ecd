"""Transforms of a sample (a dict); importing this registers them all."""

from .build import build_transforms
from .formatting import PackInputs
from .loading import LoadImage
from .random_resized_crop import LoadRandomResizedCrop
from .torchvision_v2 import TorchvisionTransform

__all__ = ['LoadImage', 'LoadRandomResizedCrop', 'PackInputs', 'TorchvisionTransform', 'build_transforms']
