"""A student's last map follows its teacher's, whatever the classes of both."""

import pytest
import torch
import torch.nn.functional as F

from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.feature import FeatureDistillation
from hsakd_mm.models.distillers.hssakd import HSSAKDOnline
from hsakd_mm.models.distillers.plain import Classifier

BACKBONE = dict(type='TimmBackbone', model_name='resnet18', num_classes=5, channels=(8, 8, 16, 16))
TEACHER = dict(type='CifarResNet', depth=8, num_classes=3)  # a map of stride 4


def distil(teacher: dict, width: int, **kwargs) -> FeatureDistillation:
    torch.manual_seed(1)
    student = FeatureDistillation(BACKBONE, teacher_features=width, **kwargs)
    student.attach_teacher(Classifier(teacher).eval().requires_grad_(False))
    return student


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.randn(2, 3, 32, 32)


def test_one_minus_the_cosine_on_the_teachers_grid(images) -> None:
    student = distil(TEACHER, 64)
    losses = student(images, mode='loss')
    theirs = student.teacher.backbone.forward_taps(images)[-1]
    ours = student.projection(student.backbone.forward_taps(images)[-1])
    assert ours.shape == (2, 64, 1, 1) and theirs.shape == (2, 64, 8, 8)
    cosine = (F.normalize(ours, dim=1) * F.normalize(theirs, dim=1)).sum(1).mean()
    torch.testing.assert_close(losses['loss_cosine'], 1 - cosine)
    torch.testing.assert_close(losses['cosine'], cosine)
    student.distill_weight = 0.5
    torch.testing.assert_close(student.loss(images)['loss_cosine'], (1 - cosine) / 2)


def test_the_gradient_reaches_what_leads_to_the_map_and_nothing_else(images) -> None:
    student = distil(TEACHER, 64)
    student.loss(images)['loss_cosine'].backward()
    learns = {name for name, parameter in student.named_parameters() if parameter.grad is not None}
    assert {name for name, _ in student.named_parameters()} - learns == {'backbone.fc.weight', 'backbone.fc.bias'}
    assert {name for name, each in student.named_parameters() if each.requires_grad} == learns
    assert all(parameter.grad is None for parameter in student.teacher.parameters())
    own = {f'backbone.{key}' for key in student.backbone.state_dict()} | {'projection.weight', 'projection.bias'}
    assert set(student.state_dict()) == own


def test_equal_features_have_nothing_to_learn(images) -> None:
    student = distil(BACKBONE, 16).eval()
    student.backbone.load_state_dict(student.teacher.backbone.state_dict())
    with torch.no_grad():
        student.projection.weight.copy_(torch.eye(16)[:, :, None, None])
        student.projection.bias.zero_()
    assert student.loss(images)['loss_cosine'].item() == pytest.approx(0, abs=1e-5)
    student.predict_teacher = True
    assert [sample['teacher_cosine'].item() for sample in student.predict(images)] == pytest.approx([1, 1], abs=1e-5)


def test_it_learns(images) -> None:
    student = distil(TEACHER, 64)
    optimizer = torch.optim.SGD([each for each in student.parameters() if each.requires_grad], lr=0.1, momentum=0.9)
    values = []
    for _ in range(15):
        loss = student.loss(images)['loss_cosine']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.7 * values[0], values


def test_what_follows_the_last_map_needs_no_gradient() -> None:
    """MobileNetV3 has a layer between its last stage and its classifier."""
    network = dict(type='TimmBackbone', model_name='mobilenetv3_small_050', num_classes=5)
    student = FeatureDistillation(network, teacher_features=4)
    frozen = {name.split('.')[1] for name, each in student.named_parameters() if not each.requires_grad}
    assert frozen == {'conv_head', 'classifier'}


def test_refuses_another_width_and_several_networks() -> None:
    with pytest.raises(UserError, match='has 64: set model.teacher_features=64'):
        distil(TEACHER, 32)
    student = FeatureDistillation(BACKBONE, teacher_features=16)
    with pytest.raises(UserError, match='HSSAKDOnline has none or several'):
        student.attach_teacher(HSSAKDOnline([dict(backbone=TEACHER), dict(backbone=TEACHER)]))


def test_a_network_whose_other_maps_have_layers_of_their_own_is_refused() -> None:
    with pytest.raises(UserError, match='belong to its other maps alone .*HSAKD, whose branches read all maps'):
        FeatureDistillation(dict(type='TimmBackbone', model_name='hrnet_w18_small', num_classes=3), teacher_features=8)
