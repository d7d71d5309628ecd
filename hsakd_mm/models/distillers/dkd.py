"""DKD: Decoupled Knowledge Distillation (Zhao et al., CVPR 2022).

Reference: ``mdistiller/distillers/DKD.py`` of megvii-research/mdistiller.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from hsakd_mm.models.losses import kl_loss, to_float32
from hsakd_mm.registry import MODELS

from .plain import Classifier
from .student import StudentMixin


@MODELS.register_module()
class DKD(StudentMixin, Classifier):
    """``CE(p_S(x), y) + α·TCKD + β·NCKD``: the two parts of Hinton's divergence with separate weights.

    * TCKD (target class): ``T²·KL(b^T || b^S)`` with b the two probabilities of the labelled class and
      of all other classes together.
    * NCKD (non-target classes): ``T²·KL(q^T || q^S)`` with q the softmax over all classes but the
      labelled one.

    With p the teacher's probability of the labelled class, KD's divergence of an image equals
    ``TCKD + (1 - p)·NCKD``: its second part vanishes when the teacher is confident.

    α = 1, β = 8 and T = 4 are the source's defaults. On CIFAR-100 its configs set β for each
    pair: 2 for ResNet-56 -> 20 and 110 -> 32, 6 for VGG13 -> VGG8 and MobileNetV2 and for
    WRN-40-2 -> 16-2 and 40-1, 8 for the others. On ImageNet T = 1 with β = 0.5 (ResNet-34 -> 18)
    or 2 (ResNet-50 -> MobileNetV1).

    The source warms up α·TCKD + β·NCKD over the first 20 epochs (1 on ImageNet). Here
    ``default_hooks.distillation.ramp_up_epochs`` does so, linearly from 0 to 1. The source increases
    the weight in steps, e/20 throughout epoch e = 1, 2, ..., which is ahead by half an epoch on average.

    Args:
        temperature (float): T.
        alpha (float): α.
        beta (float): β.
        ce_weight (float): Weight of the cross-entropy.
        Others: As in :class:`Classifier`.
    """

    asks_with_targets = True

    takes_soft_labels = False  # it tells the labelled class from the others

    def __init__(
        self, *args, temperature: float = 4.0, alpha: float = 1.0, beta: float = 8.0, ce_weight: float = 1.0, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        self.temperature = temperature
        self.alpha = alpha
        self.beta = beta
        self.ce_weight = ce_weight

    def loss(self, inputs: Tensor, labels: Tensor) -> dict:
        logits = self.backbone(inputs)
        teacher_logits, _ = self.ask_teacher(inputs)
        target, others = decoupled_kl(logits, teacher_logits, labels, self.temperature)
        return {
            'loss_ce': self.ce_weight * F.cross_entropy(logits, labels),
            'loss_tckd': self.distill_weight * self.alpha * target,
            'loss_nckd': self.distill_weight * self.beta * others,
            'agreement': self.agreement(logits, teacher_logits),
        }


def decoupled_kl(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float) -> tuple:
    """Unweighted TCKD and NCKD, each a mean over rows.

    Args:
        student_logits (Tensor): ``[B, N]``.
        teacher_logits (Tensor): ``[B, N]``.
        labels (Tensor): ``[B]``, int64.
        temperature (float): T.
    """
    pairs = [_split(logits, labels, temperature) for logits in (student_logits, teacher_logits)]
    return tuple(kl_loss(student, teacher, temperature) for student, teacher in zip(*pairs))


def _split(logits: Tensor, labels: Tensor, temperature: float) -> tuple:
    """Logits of labelled class versus rest, ``[B, 2]``, and of the other classes, ``[B, N - 1]``.

    The softmax of the two at temperature T gives the probabilities of the labelled class and of all
    others together in the softmax over N classes. Computed in logarithms: small probabilities of a
    confident teacher would underflow to 0, of which the source takes the logarithm.
    """
    logits = to_float32(logits)
    labels = labels[:, None]
    index = torch.arange(logits.shape[1] - 1, device=logits.device)
    others = logits.gather(1, index + (index >= labels))  # skips the labelled one
    rest = temperature * (others / temperature).logsumexp(1, keepdim=True)
    return torch.cat([logits.gather(1, labels), rest], 1), others
