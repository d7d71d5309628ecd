"""Hooks, loops, optimizer wrappers, and the shared code of the command-line tools."""

from . import hooks, layer_decay, loggers, loops, optim

__all__ = ['hooks', 'layer_decay', 'loggers', 'loops', 'optim']
