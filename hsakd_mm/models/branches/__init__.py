from .light import LightBranches
from .tail import TailBranches

__all__ = ['LightBranches', 'TailBranches']
