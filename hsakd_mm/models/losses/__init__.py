from .kl import kl_loss
from .ramp import ramp_up
from .wide import wide

__all__ = ['kl_loss', 'ramp_up', 'wide']
