from .distillation_hook import DistillationHook
from .loop_check_hook import LoopCheckHook
from .num_class_check_hook import NumClassCheckHook
from .progress_hook import ProgressHook
from .run_identity_hook import RunIdentityHook

__all__ = ['DistillationHook', 'LoopCheckHook', 'NumClassCheckHook', 'ProgressHook', 'RunIdentityHook']
