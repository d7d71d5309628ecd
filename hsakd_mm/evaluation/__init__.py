from .accuracy import Accuracy, BranchAccuracy

__all__ = ['Accuracy', 'BranchAccuracy']
