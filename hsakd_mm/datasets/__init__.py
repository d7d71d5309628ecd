"""Datasets and transforms; importing this registers them all."""
from . import transforms
from .image_folder import ImageFolder

__all__ = ['ImageFolder', 'transforms']
