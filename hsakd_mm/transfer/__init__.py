"""The hand-off: strict loading into MMDetection, timm backbones, operator fallback.

Importing this package touches neither mmdet nor mmcv; what needs them imports them when it runs.
"""

from .initializer import BackboneCheckHook, StrictPretrained
from .operators import provide_operators
from .timm_detection import TimmDetBackbone

__all__ = ['BackboneCheckHook', 'StrictPretrained', 'TimmDetBackbone', 'provide_operators']
