"""Auxiliary branches grown from a backbone's own tail (HSAKD, section 3; ``papers.md`` 1.4)."""

from torch import Tensor, nn

from hsakd_mm.models.backbones import StagedBackbone
from hsakd_mm.registry import MODELS


class TailBranch(nn.Module):
    """Copies of what remains of a backbone, global average pooling and an own classifier.

    Args:
        backbone (StagedBackbone): Where it is grown from; shares no weight with it.
        stage (int): The tap that it reads, from 0.
        num_outputs (int): Width of the classifier, N·M for joint labels.
    """

    def __init__(self, backbone: StagedBackbone, stage: int, num_outputs: int) -> None:
        super().__init__()
        self.stages = backbone.fresh_tail(stage)
        self.fc = nn.Linear(backbone.tail_channels, num_outputs)
        backbone.init_branch(self)

    def forward(self, tap: Tensor) -> Tensor:
        """Logits ``[B, num_outputs]`` of ``tap: [B, C_l, H_l, W_l]``."""
        return self.fc(self.stages(tap).mean((2, 3)))


@MODELS.register_module()
class TailBranches(nn.ModuleList):
    """One :class:`TailBranch` after each stage; after the last, one more stage at stride 1.

    Shared by nobody, dropped at inference. Reference: ``Auxiliary_Classifier`` of winycg/HSAKD.
    """

    def __init__(self, backbone: StagedBackbone, num_outputs: int) -> None:
        super().__init__(TailBranch(backbone, stage, num_outputs) for stage in range(len(backbone.channels)))

    def forward(self, taps: list) -> list:
        """Branch logits, ``L x [B, num_outputs]``, of the taps, ``L x [B, C_l, H_l, W_l]``."""
        return [branch(tap) for branch, tap in zip(self, taps, strict=True)]
