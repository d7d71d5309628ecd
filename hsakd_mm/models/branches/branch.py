"""What all branches share: layers, pooling and a classifier behind each stage of a backbone."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from hsakd_mm.models.backbones.recomputed import run_recomputed


class Branch(nn.Module):
    """Layers behind one stage, global average pooling and a classifier, which a subclass makes.

    Attributes:
        stages (nn.Sequential): The layers.
        fc (nn.Linear): The classifier, with N·M outputs for joint labels.
        with_cp (bool): Recompute the layers in the backward pass.
    """

    stages: nn.Sequential
    fc: nn.Linear
    with_cp: bool = False

    def forward(self, tap: Tensor) -> Tensor:
        """Logits ``[B, num_outputs]`` of ``tap: [B, C_l, H_l, W_l]``."""
        recompute = self.with_cp and self.training and torch.is_grad_enabled()
        features = run_recomputed(self.stages, tap) if recompute else self.stages(tap)
        return self.fc(features.mean((2, 3)))


class Branches(nn.ModuleList):
    """One :class:`Branch` after each stage.

    Args:
        branches (Iterable[Branch]): In the order of the stages.
        with_cp (bool): Activation checkpointing: their layers are computed again in the backward pass.
    """

    def __init__(self, branches: Iterable[Branch], with_cp: bool = False) -> None:
        super().__init__(branches)
        for branch in self:
            branch.with_cp = with_cp

    def forward(self, taps: list) -> list:
        """Branch logits, ``L x [B, num_outputs]``, of the taps, ``L x [B, C_l, H_l, W_l]``."""
        return [branch(tap) for branch, tap in zip(self, taps, strict=True)]
