"""Compiles a method's loss, student and teacher in one graph."""

import torch
from mmengine.hooks import Hook

from hsakd_mm.errors import UserError
from hsakd_mm.models.unwrapped import unwrapped
from hsakd_mm.registry import HOOKS


@HOOKS.register_module()
class CompileHook(Hook):
    """Replaces ``model.loss`` by ``torch.compile(model.loss)`` before training.

    mmengine's own ``compile=True`` compiles the whole training step, optimizer included, and with it everything that
    mmengine does in one. Here the graph is what the method computes: views, student, teacher without gradient, losses
    (under DDP several, one for each bucket of gradients).
    Validation stays as it is. The first step takes minutes, for it writes and builds the kernels; a last batch of
    another size would take them again, so that ``train_dataloader.drop_last=True`` belongs to it. Variants that differ
    between steps (``sampled``, ``branch_interval``, ``cached_crops``, sizes) break the graph and are compiled anew for
    each form of a step, eight at most.

    Loss weights that change while training (``ramp_up_epochs``) and activation checkpointing (``with_cp``) are refused.

    Args:
        fullgraph (bool): Refuse a method that does not compile to a single graph. False, for CRD draws its negatives
            outside of one.
        mode (str, optional): ``torch.compile``'s, such as 'max-autotune-no-cudagraphs'.
        backend (str): ``torch.compile``'s; 'aot_eager' makes the graph and no kernels, to look for errors.
    """

    priority = 'LOW'  # after DistillationHook, which attaches the teacher

    def __init__(self, fullgraph: bool = False, mode: str | None = None, backend: str = 'inductor') -> None:
        self.fullgraph, self.mode, self.backend = fullgraph, mode, backend

    def before_train(self, runner) -> None:
        for owner in (unwrapped(runner.model), *runner.hooks):
            if getattr(owner, 'ramp_up_epochs', 0):
                raise UserError(
                    f'CompileHook compiles a step anew for each weight of a loss, and ramp_up_epochs of '
                    f'{type(owner).__name__} changes it while training: set it to 0, or leave out CompileHook.'
                )
        self.compile(unwrapped(runner.model))

    def compile(self, model: torch.nn.Module) -> None:
        """Compile the loss of one model, with its teacher attached.

        Raises:
            UserError: Its backbone recomputes blocks (``with_cp``), which torch does not compile.
        """
        if any(getattr(module, 'with_cp', False) for module in model.modules()):
            raise UserError(
                'CompileHook was expected to compile networks that keep their feature maps, and with_cp of one is '
                'True: leave out one of them.'
            )
        model.loss = torch.compile(
            model.loss, fullgraph=self.fullgraph, mode=self.mode, backend=self.backend, dynamic=False
        )
