from .distillation_hook import DistillationHook
from .num_class_check_hook import NumClassCheckHook
from .progress_hook import ProgressHook

__all__ = ['DistillationHook', 'NumClassCheckHook', 'ProgressHook']
