"""KD: Distilling the Knowledge in a Neural Network (Hinton, Vinyals, Dean, 2015)."""

import torch.nn.functional as F
from torch import Tensor

from hsakd_mm.models.losses import kl_loss
from hsakd_mm.registry import MODELS

from .plain import Classifier
from .student import StudentMixin


@MODELS.register_module()
class KD(StudentMixin, Classifier):
    """``a·CE(p_S(x), y) + b·T²·KL(p^T || p^S)``.

    The defaults are RepDistiller's (HobbitLong/RepDistiller, ``-r 0.1 -a 0.9``, T = 4), which HSAKD's
    tables for CIFAR-100 use. On ImageNet T = 1 and both weights 0.5, as in torchdistill, are usual
    (``papers.md`` 5).

    Args:
        temperature (float): T.
        ce_weight (float): a. With 0 there is no cross-entropy, and the images need no labels.
        kd_weight (float): b.
        Others: As in :class:`Classifier`.
    """

    asks_with_targets = True
    without_labels = 'model.ce_weight=0'

    def __init__(
        self, *args, temperature: float = 4.0, ce_weight: float = 0.1, kd_weight: float = 0.9, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        self.temperature = temperature
        self.ce_weight = ce_weight
        self.kd_weight = kd_weight

    @property
    def needs_labels(self) -> bool:
        return self.ce_weight != 0

    def loss(self, inputs: Tensor, labels: Tensor | None) -> dict:
        logits = self.backbone(inputs)
        teacher_logits, _ = self.ask_teacher(inputs)
        weight = self.distill_weight * self.kd_weight
        return {
            **({'loss_ce': self.ce_weight * F.cross_entropy(logits, labels)} if self.ce_weight else {}),
            'loss_kd': weight * kl_loss(logits, teacher_logits, self.temperature),
            'agreement': self.agreement(logits, teacher_logits),
        }
