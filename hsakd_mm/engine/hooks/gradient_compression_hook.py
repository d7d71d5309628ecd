"""Gradients travel between ranks in bfloat16."""

from mmengine.hooks import Hook
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

from hsakd_mm.registry import HOOKS


@HOOKS.register_module()
class GradientCompressionHook(Hook):
    """Has DDP reduce gradients in bfloat16, half the bytes; worth it between nodes, hardly within one.

    The gradients of a step are rounded to 8 bits of mantissa before they are averaged, the weights stay in their own
    precision. With a single process there is nothing to reduce, and the hook does nothing.
    """

    priority = 'LOW'

    def before_train(self, runner) -> None:
        if hasattr(runner.model, 'register_comm_hook'):
            runner.model.register_comm_hook(None, default_hooks.bf16_compress_hook)
            runner.logger.info('Gradients are reduced in bfloat16.')
