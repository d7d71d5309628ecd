from .kl import kl_loss

__all__ = ['kl_loss']
