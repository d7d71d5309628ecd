from .broken_image_hook import BrokenImageHook
from .collect_hook import CollectHook
from .compile_hook import CompileHook
from .distillation_hook import DistillationHook
from .exact_checkpoint_hook import ExactCheckpointHook
from .finite_hook import FiniteHook
from .gradient_compression_hook import GradientCompressionHook
from .loop_check_hook import LoopCheckHook
from .num_class_check_hook import NumClassCheckHook
from .preemption_hook import PreemptionHook
from .progress_hook import ProgressHook
from .progressive_resize_hook import ProgressiveResizeHook
from .run_identity_hook import RunIdentityHook
from .start_hook import StartHook

__all__ = [
    'BrokenImageHook',
    'CollectHook',
    'CompileHook',
    'DistillationHook',
    'ExactCheckpointHook',
    'FiniteHook',
    'GradientCompressionHook',
    'LoopCheckHook',
    'NumClassCheckHook',
    'PreemptionHook',
    'ProgressHook',
    'ProgressiveResizeHook',
    'RunIdentityHook',
    'StartHook',
]
