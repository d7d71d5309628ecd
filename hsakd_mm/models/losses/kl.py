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
    log_student = F.log_softmax(to_float32(student_logits) / temperature, 1)
    log_teacher = F.log_softmax(to_float32(teacher_logits) / temperature, 1)
    if rows is None:
        loss = F.kl_div(log_student, log_teacher, reduction='batchmean', log_target=True)
    else:
        each = F.kl_div(log_student, log_teacher, reduction='none', log_target=True).sum(1)
        loss = each.where(rows, 0).sum() / rows.sum()
    return loss * temperature**2
