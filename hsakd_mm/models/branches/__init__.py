from .tail import TailBranches

__all__ = ['TailBranches']
