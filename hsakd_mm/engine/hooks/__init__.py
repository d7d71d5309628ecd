from .distillation_hook import DistillationHook
from .num_class_check_hook import NumClassCheckHook

__all__ = ['DistillationHook', 'NumClassCheckHook']
