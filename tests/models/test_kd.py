import copy

import pytest
import torch
import torch.nn.functional as F

from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.dml import DML
from hsakd_mm.models.distillers.kd import KD
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.models.losses import kl_loss

SMALL = dict(type='TimmBackbone', model_name='resnet18', num_classes=5, channels=(8, 8, 16, 16))


def test_hintons_loss() -> None:
    torch.manual_seed(0)
    images, labels = torch.randn(3, 3, 32, 32), torch.tensor([0, 3, 4])
    student, teacher = KD(SMALL).eval(), Classifier(SMALL).eval()
    student.attach_teacher(teacher)
    losses = student.loss(images, labels)
    logits, theirs = student.backbone(images), teacher.backbone(images)
    soft = F.softmax(theirs / 4, 1)
    divergence = (soft * (soft.log() - F.log_softmax(logits / 4, 1))).sum(1).mean()
    torch.testing.assert_close(losses['loss_ce'], 0.1 * F.cross_entropy(logits, labels))
    torch.testing.assert_close(losses['loss_kd'], 0.9 * 16 * divergence)
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_teacher_deep_copied_with_its_student_stays_one(tmp_path) -> None:
    """As EMAHook does; of a timm network the copy is one network, not two that share a name."""
    student = KD(SMALL).eval()
    student.attach_teacher(Classifier(SMALL).eval())
    twin = copy.deepcopy(student)
    assert twin.teacher is student.teacher
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
        images = torch.randn(2, 3, 32, 32)
        assert twin.backbone(images).abs().sum() == 0 and student.backbone(images).abs().sum() > 0


def test_refuses_a_teacher_of_other_classes() -> None:
    with pytest.raises(UserError, match='the teacher has 6 classes while the student has 5'):
        KD(SMALL).attach_teacher(Classifier(dict(SMALL, num_classes=6)))


@pytest.mark.parametrize('temperature', [0, -1.0, '4', float('nan')])
def test_refuses_a_temperature_that_is_no_number_above_0(temperature) -> None:
    with pytest.raises(UserError, match=f'of KD is a number above 0, and temperature is {temperature!r}'):
        KD(SMALL, temperature=temperature).init_weights()


def test_refuses_a_teacher_of_several_networks() -> None:
    with pytest.raises(UserError, match='KD needs a teacher with one network, and DML has 2: export them'):
        KD(SMALL).attach_teacher(DML([dict(backbone=SMALL), dict(backbone=SMALL)]))


def test_without_labels() -> None:
    torch.manual_seed(0)
    images, labels = torch.randn(3, 3, 32, 32), torch.tensor([0, 3, 4])
    student = KD(SMALL).eval()
    student.attach_teacher(Classifier(SMALL).eval())
    losses = student.loss(images, labels)
    student.ce_weight = 0
    without = student(images, mode='loss')
    assert list(losses) == ['loss_ce', *without] and torch.equal(without['loss_kd'], losses['loss_kd'])


def test_rows_that_do_not_count_are_not_looked_at() -> None:
    ours, theirs = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3)
    rows = torch.tensor([True, False, True, False])
    wanted = kl_loss(ours[rows], theirs[rows], 4.0)
    with torch.no_grad():
        ours[1, 2] = torch.inf
    found = kl_loss(ours, theirs, 4.0, rows)
    torch.testing.assert_close(found, wanted)
    (gradient,) = torch.autograd.grad(found, ours)
    assert gradient[rows].abs().min() > 0 and gradient[~rows].eq(0).all()
