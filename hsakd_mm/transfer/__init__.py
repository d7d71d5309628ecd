"""The hand-off: export, strict loading into MMDetection, operator fallback, report.

Importing this package touches neither mmdet nor mmcv; what needs them imports them when it runs.
"""
from .initializer import BackboneArrivedHook, StrictPretrained
from .operators import provide_operators

__all__ = ['BackboneArrivedHook', 'StrictPretrained', 'provide_operators']
