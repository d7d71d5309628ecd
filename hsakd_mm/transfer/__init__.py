"""The hand-off to MMDetection: strict loading, timm backbones, a neck for ViTs, operators without a compiler.

Importing this package imports neither mmdet nor mmcv; functions that need them import them when called.
"""

from .initializer import BackboneCheckHook, StrictPretrained
from .operators import provide_operators
from .simple_pyramid import SimpleFeaturePyramid
from .timm_detection import TimmDetBackbone

__all__ = ['BackboneCheckHook', 'SimpleFeaturePyramid', 'StrictPretrained', 'TimmDetBackbone', 'provide_operators']
