"""The hand-off to MMDetection: strict loading, timm backbones, operators without a compiler.

Importing this package imports neither mmdet nor mmcv; functions that need them import them when called.
"""

from .initializer import BackboneCheckHook, StrictPretrained
from .operators import provide_operators
from .timm_detection import TimmDetBackbone

__all__ = ['BackboneCheckHook', 'StrictPretrained', 'TimmDetBackbone', 'provide_operators']
