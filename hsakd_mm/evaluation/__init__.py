from .accuracy import Accuracy, BranchAccuracy
from .ensemble import Diversity, EnsembleAccuracy
from .linear_probe import LinearProbe

__all__ = ['Accuracy', 'BranchAccuracy', 'Diversity', 'EnsembleAccuracy', 'LinearProbe']
