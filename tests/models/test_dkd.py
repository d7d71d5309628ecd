import pytest
import torch
import torch.nn.functional as F

from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.dkd import DKD, decoupled_kl
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.models.losses import kl_loss

SMALL = dict(type='CifarResNet', depth=8, num_classes=5, width=(4, 4, 8, 8))


@pytest.fixture
def logits() -> tuple:
    torch.manual_seed(0)
    labels = torch.tensor([0, 3, 4, 2])
    return *(3 * torch.randn(4, 5, dtype=torch.float64) for _ in range(2)), labels


def naive(student, teacher, labels, temperature) -> tuple:
    """Image by image, class by class, from the probabilities."""
    target, others = [], []
    for own, theirs, label in zip(student, teacher, labels):
        q, p = (torch.softmax(each / temperature, 0) for each in (own, theirs))
        rest = [index for index in range(len(p)) if index != label]
        both = [(p[label], q[label]), (p[rest].sum(), q[rest].sum())]
        target.append(sum(x * torch.log(x / y) for x, y in both))
        p, q = p[rest] / p[rest].sum(), q[rest] / q[rest].sum()
        others.append((p * torch.log(p / q)).sum())
    return tuple(temperature**2 * torch.stack(each).mean() for each in (target, others))


def test_the_two_parts(logits) -> None:
    torch.testing.assert_close(decoupled_kl(*logits, 4.0), naive(*logits, 4.0))


def test_they_make_up_hintons_divergence(logits) -> None:
    """KD = TCKD + (1 - p) NCKD, image by image (section 3.1)."""
    student, teacher, labels = logits
    for index in range(len(labels)):
        row = slice(index, index + 1)
        target, others = decoupled_kl(student[row], teacher[row], labels[row], 4.0)
        p = torch.softmax(teacher[row] / 4, 1)[0, labels[index]]
        torch.testing.assert_close(target + (1 - p) * others, kl_loss(student[row], teacher[row], 4.0))


def test_no_divergence_from_oneself_and_none_that_is_not_finite() -> None:
    sure = torch.tensor([[400.0, 0.0, -400.0], [-400.0, 400.0, 0.0]], requires_grad=True)
    labels = torch.tensor([0, 0])
    assert decoupled_kl(sure, sure, labels, 1.0) == (0, 0)
    total = sum(decoupled_kl(sure, -sure.detach(), labels, 1.0))
    total.backward()
    assert total.isfinite() and sure.grad.isfinite().all()


@pytest.mark.parametrize('weights', [dict(), dict(alpha=0.5, beta=2.0, ce_weight=0.7)])
def test_loss_and_gradient(weights) -> None:
    torch.manual_seed(0)
    images, labels = torch.randn(3, 3, 16, 16), torch.tensor([0, 3, 4])
    student, teacher = DKD(SMALL, **weights).eval(), Classifier(SMALL).eval()
    student.attach_teacher(teacher)
    student.distill_weight = 0.25  # as DistillationHook's warm-up sets it
    losses = student.loss(images, labels)
    own, theirs = student.backbone(images), teacher.backbone(images)
    target, others = naive(own, theirs, labels, 4.0)
    alpha, beta, ce = (weights.get(name, default) for name, default in (('alpha', 1), ('beta', 8), ('ce_weight', 1)))
    torch.testing.assert_close(losses['loss_ce'], ce * F.cross_entropy(own, labels))
    torch.testing.assert_close(losses['loss_tckd'], 0.25 * alpha * target)
    torch.testing.assert_close(losses['loss_nckd'], 0.25 * beta * others)

    (losses['loss_tckd'] + losses['loss_nckd']).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in student.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(key.startswith('backbone.') for key in student.state_dict())


def test_losses_are_wide_under_autocast(logits) -> None:
    student, teacher, labels = logits
    student = student.bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        parts = decoupled_kl(student, teacher.bfloat16(), labels, 4.0)
    assert all(part.dtype == torch.float32 for part in parts)


def test_starts_as_a_plain_network() -> None:
    torch.manual_seed(1)
    plain = Classifier(SMALL)
    torch.manual_seed(1)
    student = DKD(SMALL)
    assert all(torch.equal(value, student.state_dict()[key]) for key, value in plain.state_dict().items())


def test_refuses_a_teacher_of_other_classes() -> None:
    with pytest.raises(UserError, match='the teacher has 6 classes while the student has 5'):
        DKD(SMALL).attach_teacher(Classifier(dict(SMALL, num_classes=6)))
