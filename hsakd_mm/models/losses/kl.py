"""The distillation loss of Hinton et al., used by all methods."""

import torch.nn.functional as F
from torch import Tensor

from .precision import to_float32


def kl_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float, rows: Tensor | None = None) -> Tensor:
    """``T² · KL(softmax(teacher / T) || softmax(student / T))``, mean over rows.

    Over the B·M rows of all views this equals the paper's ``(1/M) Σ_j`` over an image's views
    (HSAKD, eq. 6 and 8; ``DistillKL`` of the reference code). No gradient is stopped here: the
    caller detaches the target.

    Args:
        student_logits (Tensor): ``[R, K]``.
        teacher_logits (Tensor): ``[R, K]``.
        temperature (float): T.
        rows (Tensor, optional): The rows that count, ``bool [R]``; default: all.

    Returns:
        Tensor: A scalar, in nats.
    """
    if rows is not None:  # in the others both say the same: they add nothing, and an infinite logit no gradient
        student_logits, teacher_logits = (each.where(rows[:, None], 0) for each in (student_logits, teacher_logits))
    log_student = F.log_softmax(to_float32(student_logits) / temperature, 1)
    log_teacher = F.log_softmax(to_float32(teacher_logits) / temperature, 1)
    loss = F.kl_div(log_student, log_teacher, reduction='sum', log_target=True)
    loss = loss / (len(log_student) if rows is None else rows.sum())
    return loss * temperature**2
