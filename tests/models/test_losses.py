import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from hsakd_mm.models.losses import kl_loss


@pytest.mark.parametrize('temperature', [1.0, 3.0])
def test_kl_is_the_divergence_from_the_teacher(temperature) -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 6, 5, dtype=torch.float64)
    expected = (
        kl_divergence(Categorical(logits=teacher / temperature), Categorical(logits=student / temperature)).mean()
        * temperature**2
    )
    torch.testing.assert_close(kl_loss(student, teacher, temperature), expected)


def test_gradient_leads_to_the_teacher() -> None:
    teacher = torch.tensor([[2.0, 0.0, -1.0]])
    student = torch.zeros(1, 3, requires_grad=True)
    kl_loss(student, teacher, 3.0).backward()
    # d/ds T² KL = T (softmax(s/T) - softmax(t/T)), over one row
    expected = 3 * ((student / 3).softmax(1) - (teacher / 3).softmax(1))
    torch.testing.assert_close(student.grad, expected.detach())


def test_half_precision_logits_are_compared_in_float32() -> None:
    student, teacher = torch.randn(2, 4, 1000).bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        loss = kl_loss(student, teacher, 3.0)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, kl_loss(student.float(), teacher.float(), 3.0))
