import copy

import pytest
import torch

from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.hsakd import HSAKD, HSAKDTeacher
from hsakd_mm.models.distillers.plain import Classifier

BACKBONE = dict(type='TimmBackbone', model_name='resnet18', num_classes=5, channels=(8, 8, 16, 16))


@pytest.fixture
def batch() -> tuple:
    torch.manual_seed(0)
    return torch.randn(3, 3, 32, 32), torch.tensor([0, 3, 4])


@pytest.fixture
def student() -> HSAKD:
    torch.manual_seed(1)
    student = HSAKD(BACKBONE)
    student.attach_teacher(HSAKDTeacher(BACKBONE).eval().requires_grad_(False))
    return student


def total(losses: dict) -> torch.Tensor:
    return sum(value for name, value in losses.items() if 'loss' in name)


def test_every_student_weight_learns_and_no_teacher_weight_does(student, batch) -> None:
    total(student.loss(*batch)).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0
               for parameter in student.parameters())
    assert all(parameter.grad is None for parameter in student.teacher.parameters())


def test_branches_alone_reach_the_stem(student, batch) -> None:
    losses = student.loss(*batch)
    losses['loss_kl_branch4'].backward()
    assert student.backbone.conv1.weight.grad.abs().sum() > 0


def test_a_student_equal_to_its_teacher_has_nothing_to_learn_from_it(student, batch) -> None:
    student.load_state_dict(student.teacher.state_dict())
    student.eval()  # the same batch statistics on both sides
    losses = student.loss(*batch)
    for name in losses:
        if name.startswith('loss_kl'):
            assert losses[name].item() == pytest.approx(0, abs=1e-5)
    assert losses['agreement'] == 1


def test_the_weight_scales_distillation_only(student, batch) -> None:
    student.eval()
    full = student.loss(*batch)
    student.distill_weight = 0.25
    quarter = student.loss(*batch)
    assert quarter['loss_ce'] == full['loss_ce']
    torch.testing.assert_close(quarter['loss_kl_logits'], full['loss_kl_logits'] / 4)


def test_the_student_does_not_own_its_teacher(student) -> None:
    alone = HSAKD(BACKBONE)
    assert student.state_dict().keys() == alone.state_dict().keys()
    assert sum(1 for _ in student.modules()) == sum(1 for _ in alone.modules())
    assert copy.deepcopy(student).teacher is student.teacher
    student.train()
    assert not student.teacher.training


def test_frozen_teacher_keeps_weights_and_statistics(batch) -> None:
    teacher = HSAKDTeacher(BACKBONE, frozen_backbone=True, checkpoint='unused').train()
    before = copy.deepcopy(teacher.backbone.state_dict())
    optimizer = torch.optim.SGD(teacher.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        total(teacher.loss(*batch)).backward()
        optimizer.step()
    after = teacher.backbone.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_frozen_teacher_loads_its_backbone_strictly(tmp_path) -> None:
    source = Classifier(BACKBONE)
    good, bad = tmp_path / 'good.pth', tmp_path / 'bad.pth'
    weights = source.backbone.state_dict()
    torch.save(weights, good)
    torch.save({key: value for key, value in weights.items() if 'layer3' not in key}, bad)
    teacher = HSAKDTeacher(BACKBONE, frozen_backbone=True, checkpoint=str(good))
    teacher.init_weights()
    assert torch.equal(teacher.backbone.fc.weight, source.backbone.fc.weight)
    with pytest.raises(UserError, match='missing: layer3.0.conv1.weight'):
        HSAKDTeacher(BACKBONE, frozen_backbone=True, checkpoint=str(bad)).init_weights()
    with pytest.raises(UserError, match='expected to come with trained weights'):
        HSAKDTeacher(BACKBONE, frozen_backbone=True)


def test_channels_last_reaches_every_convolution(batch) -> None:
    preprocessor = dict(type='ImagePreprocessor', mean=[0.] * 3, std=[1.] * 3, channels_last=True)
    model = HSAKDTeacher(BACKBONE, data_preprocessor=preprocessor)
    weights = [module.weight for module in model.modules() if isinstance(module, torch.nn.Conv2d)]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    images = torch.randint(0, 255, (2, 3, 32, 32), dtype=torch.uint8)
    inputs = model.data_preprocessor(dict(inputs=images))['inputs']
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    expanded = model.pretext.expand(inputs)
    assert expanded.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize('teacher, said', [
    (lambda: Classifier(BACKBONE), 'the teacher has 0 branches while the student has 4'),
    (lambda: HSAKDTeacher(dict(BACKBONE, num_classes=6)),
     'the teacher has 6 classes while the student has 5'),
])
def test_refuses_a_teacher_that_does_not_pair(student, teacher, said) -> None:
    with pytest.raises(UserError, match=said):
        student.attach_teacher(teacher())


def test_says_that_a_teacher_is_missing(batch) -> None:
    with pytest.raises(UserError, match='HSAKD has no teacher: add a DistillationHook'):
        HSAKD(BACKBONE).loss(*batch)
