"""Auxiliary branches that copy the tail of the backbone (HSAKD, section 3; ``papers.md`` 1.4)."""

from torch import Tensor, nn

from hsakd_mm.models.backbones import StagedBackbone
from hsakd_mm.registry import MODELS


class TailBranch(nn.Module):
    """A new copy of the backbone's layers after a stage, global average pooling and a classifier.

    Args:
        backbone (StagedBackbone): Defines the layers; no weight is shared with it.
        stage (int): Index of the tap that it reads, from 0.
        num_outputs (int): Outputs of the classifier, N·M for joint labels.
    """

    def __init__(self, backbone: StagedBackbone, stage: int, num_outputs: int) -> None:
        super().__init__()
        self.stages = backbone.build_tail(stage)
        self.fc = nn.Linear(backbone.tail_channels, num_outputs)
        backbone.init_branch(self)

    def forward(self, tap: Tensor) -> Tensor:
        """Logits ``[B, num_outputs]`` of ``tap: [B, C_l, H_l, W_l]``."""
        return self.fc(self.stages(tap).mean((2, 3)))


@MODELS.register_module()
class TailBranches(nn.ModuleList):
    """One :class:`TailBranch` after each stage; after the last stage, another last stage at stride 1.

    No weights are shared, and inference does not use them. Reference: ``Auxiliary_Classifier`` of winycg/HSAKD.
    """

    def __init__(self, backbone: StagedBackbone, num_outputs: int) -> None:
        super().__init__(TailBranch(backbone, stage, num_outputs) for stage in range(len(backbone.channels)))

    def forward(self, taps: list) -> list:
        """Branch logits, ``L x [B, num_outputs]``, of the taps, ``L x [B, C_l, H_l, W_l]``."""
        return [branch(tap) for branch, tap in zip(self, taps, strict=True)]
