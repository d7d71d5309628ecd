from .accuracy import Accuracy, BranchAccuracy
from .linear_probe import LinearProbe

__all__ = ['Accuracy', 'BranchAccuracy', 'LinearProbe']
