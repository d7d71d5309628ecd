"""Networks, branches, pretext tasks, losses and distillers; importing this registers them all."""

from . import backbones, branches, distillers, pretext
from .data_preprocessor import ImagePreprocessor

__all__ = ['ImagePreprocessor', 'backbones', 'branches', 'distillers', 'pretext']
