from .compile_hook import CompileHook
from .distillation_hook import DistillationHook
from .exact_checkpoint_hook import ExactCheckpointHook
from .loop_check_hook import LoopCheckHook
from .num_class_check_hook import NumClassCheckHook
from .preemption_hook import PreemptionHook
from .progress_hook import ProgressHook
from .run_identity_hook import RunIdentityHook

__all__ = [
    'CompileHook',
    'DistillationHook',
    'ExactCheckpointHook',
    'LoopCheckHook',
    'NumClassCheckHook',
    'PreemptionHook',
    'ProgressHook',
    'RunIdentityHook',
]
