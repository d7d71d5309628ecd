"""How a run is driven: hooks, optimizer wrappers, and what the command-line tools share."""

from . import hooks, optim

__all__ = ['hooks', 'optim']
