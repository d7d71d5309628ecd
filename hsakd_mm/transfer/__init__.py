"""The hand-off: export, strict loading into MMDetection, operator fallback, report.

Importing this package touches neither mmdet nor mmcv; what needs them imports them when it runs.
"""
from .initializer import BackboneArrivedHook, StrictPretrained
from .operators import provide_operators
from .records import DetectionRecords
from .timm_detection import TimmDetBackbone

__all__ = ['BackboneArrivedHook', 'DetectionRecords', 'StrictPretrained', 'TimmDetBackbone',
           'provide_operators']
