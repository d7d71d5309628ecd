"""Hooks, optimizer wrappers, and the shared code of the command-line tools."""

from . import hooks, optim

__all__ = ['hooks', 'optim']
