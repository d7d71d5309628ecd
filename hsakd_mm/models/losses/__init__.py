from .kl import kl_loss
from .precision import to_float32
from .ramp import ramp_up

__all__ = ['kl_loss', 'ramp_up', 'to_float32']
