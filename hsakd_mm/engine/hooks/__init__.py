from .compile_hook import CompileHook
from .distillation_hook import DistillationHook
from .loop_check_hook import LoopCheckHook
from .num_class_check_hook import NumClassCheckHook
from .progress_hook import ProgressHook

__all__ = ['CompileHook', 'DistillationHook', 'LoopCheckHook', 'NumClassCheckHook', 'ProgressHook']
