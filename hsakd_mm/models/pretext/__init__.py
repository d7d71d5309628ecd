from .rotation import Rotation

__all__ = ['Rotation']
