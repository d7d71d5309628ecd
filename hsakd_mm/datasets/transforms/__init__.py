"""Transforms of a sample (a dict); importing this registers them all."""

from .build import build_transforms
from .formatting import PackInputs
from .loading import LoadImage
from .torchvision_v2 import TorchvisionTransform

__all__ = ['LoadImage', 'PackInputs', 'TorchvisionTransform', 'build_transforms']
