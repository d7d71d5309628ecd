"""Plain supervised training: the baseline of every comparison, and the base of most methods."""

import torch.nn.functional as F
from torch import Tensor, nn

from hsakd_mm.registry import MODELS

from .base import BaseDistiller


@MODELS.register_module()
class Classifier(BaseDistiller):
    """A backbone trained with cross-entropy.

    Most methods derive from it. They change :meth:`loss`, and inherit validation and export.

    Args:
        backbone (dict): Config of a :class:`~hsakd_mm.models.backbones.StagedBackbone`.
        data_preprocessor, load_backbone_from: As in :class:`BaseDistiller`.
    """

    takes_soft_labels = True

    def __init__(self, backbone: dict, data_preprocessor: dict | None = None, **kwargs) -> None:
        super().__init__(data_preprocessor, **kwargs)
        self.backbone = MODELS.build(backbone)
        self.match_memory_format()

    @property
    def backbones(self) -> list[nn.Module]:
        return [self.backbone]

    def loss(self, inputs: Tensor, labels: Tensor) -> dict:
        return {'loss_ce': F.cross_entropy(self.backbone(inputs), labels)}
