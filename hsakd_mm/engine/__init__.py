"""Hooks, loops, optimizer wrappers, and the shared code of the command-line tools."""

from . import hooks, loops, optim

__all__ = ['hooks', 'loops', 'optim']
