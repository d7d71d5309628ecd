from .identity import Identity
from .rotation import Rotation

__all__ = ['Identity', 'Rotation']
