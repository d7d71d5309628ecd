"""Auxiliary branches that copy the tail of the backbone (HSAKD, section 3; ``papers.md`` 1.4)."""

from torch import nn

from hsakd_mm.models.backbones import StagedBackbone
from hsakd_mm.registry import MODELS

from .branch import Branch, Branches


class TailBranch(Branch):
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


@MODELS.register_module()
class TailBranches(Branches):
    """One :class:`TailBranch` after each stage; after the last stage, another last stage at stride 1.

    No weights are shared, and inference does not use them. Reference: ``Auxiliary_Classifier`` of winycg/HSAKD.

    Args:
        backbone (StagedBackbone): A chain of modules.
        num_outputs (int): Outputs of each, N·M for joint labels.
        with_cp (bool): Activation checkpointing, see :class:`.Branches`.
    """

    def __init__(self, backbone: StagedBackbone, num_outputs: int, with_cp: bool = False) -> None:
        made = (TailBranch(backbone, stage, num_outputs) for stage in range(len(backbone.channels)))
        super().__init__(made, with_cp)
