import copy

import pytest
import torch
import torch.nn.functional as F

from hsakd_mm.errors import UserError
from hsakd_mm.models.branches.pairing import pair_by_stride
from hsakd_mm.models.distillers.hsakd import HSAKD, HSAKDTeacher
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.models.losses import kl_loss

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
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in student.parameters())
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


@pytest.mark.parametrize(
    'switches, terms',
    [  # papers.md 1.2, the chart's bars
        (dict(kl_branches=1, kl_rotated=0), {'branch'}),
        (dict(kl_branches=1, kl_rotated=0, kl_unrotated=1), {'branch', 'unrotated'}),
        (dict(), {'branch', 'logits'}),
        (dict(ce_branches=1), {'branch', 'logits', 'ce_branch'}),
    ],
)
def test_the_papers_ablation_is_four_switches(batch, switches, terms) -> None:
    torch.manual_seed(1)
    model = HSAKD(BACKBONE, **switches).eval()
    model.attach_teacher(HSAKDTeacher(BACKBONE).eval())
    losses = model.loss(*batch)
    kinds = dict(
        branch='loss_kl_branch4', unrotated='loss_kl_unrotated', logits='loss_kl_logits', ce_branch='loss_ce_branch4'
    )
    assert {kind for kind, name in kinds.items() if name in losses and losses[name] > 0} == terms
    logits, branch_logits = model.forward_branches(model.pretext.expand(batch[0]))
    teacher_logits, _ = model.teacher.forward_branches(model.pretext.expand(batch[0]))
    if 'unrotated' in terms:
        expected = kl_loss(logits[::4], teacher_logits[::4], 3.0)
        torch.testing.assert_close(losses['loss_kl_unrotated'], expected)
    if 'ce_branch' in terms:
        joint = torch.tensor([4 * label + view for label in batch[1] for view in range(4)])
        torch.testing.assert_close(losses['loss_ce_branch4'], F.cross_entropy(branch_logits[3], joint))


def test_each_network_sees_images_in_its_own_normalisation(batch) -> None:
    """The same pixels, normalised twice: what the teacher is given is what it was trained on."""
    ours = dict(type='ImagePreprocessor', mean=[120.0, 110, 100], std=[60.0, 50, 40])
    theirs = dict(type='ImagePreprocessor', mean=[127.5] * 3, std=[127.5] * 3)
    student = HSAKD(BACKBONE, data_preprocessor=ours)
    student.attach_teacher(HSAKDTeacher(BACKBONE, data_preprocessor=theirs).eval())
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    given = student.data_preprocessor(dict(inputs=pixels))['inputs']
    expected = student.teacher.data_preprocessor(dict(inputs=pixels))['inputs']
    torch.testing.assert_close(student.normalize_for_teacher(given), expected)
    same = HSAKD(BACKBONE, data_preprocessor=ours)
    same.attach_teacher(HSAKDTeacher(BACKBONE, data_preprocessor=ours).eval())
    assert same.normalize_for_teacher(given) is given


def test_a_teacher_of_another_family_and_depth(batch) -> None:
    teacher = HSAKDTeacher(dict(type='CifarResNet', depth=8, num_classes=5)).eval()  # 1, 2, 4
    student = HSAKD(BACKBONE)  # 4, 8, 16, 32
    student.attach_teacher(teacher)
    assert student.teacher_branches == [2, 2, 2, 2]
    total(student.loss(*batch)).backward()
    assert all(parameter.grad is not None for parameter in student.parameters())


@pytest.mark.parametrize(
    'student, teacher, pairs',
    [
        ((1, 2, 4), (2, 4, 8), [0, 1, 2]),  # as many: in order, as the paper pairs WRN and ShuffleNet
        ((1, 2, 4, 8), (1, 2, 4), [0, 1, 2, 2]),
        ((2, 4, 8), (1, 2, 4, 8), [1, 2, 3]),
        ((4, 8, 16, 32), (2, 8, 32), [1, 1, 2, 2]),  # of two as near, the deeper
    ],
)
def test_branches_pair_by_stride(student, teacher, pairs) -> None:
    assert pair_by_stride(student, teacher) == pairs


def test_prediction_looks_at_branches_only_where_asked(batch) -> None:
    images, labels = batch
    model = HSAKD(BACKBONE, predict_branches=True).eval()
    sample = model.predict(images, labels)[2]
    logits, branch_logits = model.forward_branches(model.pretext.expand(images))
    torch.testing.assert_close(sample['pred_scores'], logits[2 * 4])
    rows = torch.stack([each[8:12] for each in branch_logits])  # [L, M, N·M], of image 2
    joint = (rows.argmax(-1) == 4 * labels[2] + torch.arange(4)).float().mean(1)
    classes = rows.unflatten(-1, (5, 4)).sum(-1).argmax(-1)
    assert sample['branch_joint'] == [joint.tolist()]
    assert sample['branch_class'] == [(classes == labels[2]).float().mean(1).tolist()]
    model.predict_branches = False
    assert set(model.predict(images, labels)[0]) == {'pred_scores', 'gt_label'}


def test_branches_do_not_disturb_the_random_numbers() -> None:
    """Of one seed, a student starts as a plain network does, and what follows is the same."""
    torch.manual_seed(7)
    plain, then = Classifier(BACKBONE), torch.rand(3)
    torch.manual_seed(7)
    student, afterwards = HSAKD(BACKBONE), torch.rand(3)
    assert torch.equal(then, afterwards)
    theirs = student.backbone.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in plain.backbone.state_dict().items())


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
    with pytest.raises(UserError, match='a frozen backbone needs trained weights'):
        HSAKDTeacher(BACKBONE, frozen_backbone=True)


def test_channels_last_reaches_every_convolution(batch) -> None:
    preprocessor = dict(type='ImagePreprocessor', mean=[0.0] * 3, std=[1.0] * 3, channels_last=True)
    model = HSAKDTeacher(BACKBONE, data_preprocessor=preprocessor)
    weights = [module.weight for module in model.modules() if isinstance(module, torch.nn.Conv2d)]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    images = torch.randint(0, 255, (2, 3, 32, 32), dtype=torch.uint8)
    inputs = model.data_preprocessor(dict(inputs=images))['inputs']
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    expanded = model.pretext.expand(inputs)
    assert expanded.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    'teacher, said',
    [
        (lambda: Classifier(BACKBONE), 'needs a teacher with branches, and Classifier has none'),
        (lambda: HSAKDTeacher(dict(BACKBONE, num_classes=6)), 'the teacher has 6 classes while the student has 5'),
        (
            lambda: HSAKDTeacher(BACKBONE, pretext=dict(type='Identity')),
            'the teacher has 1 views while the student has 4',
        ),
    ],
)
def test_refuses_a_teacher_that_does_not_pair(student, teacher, said) -> None:
    with pytest.raises(UserError, match=said):
        student.attach_teacher(teacher())


def test_says_that_a_teacher_is_missing(student, batch) -> None:
    with pytest.raises(UserError, match='HSAKD has no teacher: add a DistillationHook'):
        HSAKD(BACKBONE).loss(*batch)
    assert hasattr(student, 'teacher') and not hasattr(HSAKD(BACKBONE), 'teacher')


def test_without_labels_only_the_cross_entropy_is_missing(student, batch) -> None:
    """Bit for bit, also in a step without branches."""
    free = HSAKD(BACKBONE, ce_weight=0.0)
    free.load_state_dict(student.state_dict())
    free.attach_teacher(student.teacher)
    for model in (student, free):
        model.train()
    assert student.needs_labels and not free.needs_labels
    for step in ('loss', '_loss_without_branches'):
        with_labels, without = getattr(student, step)(*batch), getattr(free, step)(batch[0], None)
        assert list(with_labels) == ['loss_ce', *without]
        assert all(torch.equal(value, with_labels[name]) for name, value in without.items())
    assert set(free(batch[0], mode='loss')) == set(free.loss(batch[0], None))
    assert HSAKD(BACKBONE, ce_weight=0, ce_branches=1).needs_labels


def test_a_method_that_needs_labels_names_those_that_do_not(student, batch) -> None:
    for model, cure in (
        (student, 'set model.ce_weight=0 model.ce_branches=0, or use'),
        (Classifier(BACKBONE), ': use'),
    ):
        with pytest.raises(UserError) as caught:
            model(batch[0], mode='loss')
        said = str(caught.value)
        assert cure in said and 'FeatureDistillation, ' in said and 'KD with model.ce_weight=0' in said, said


def test_the_teacher_is_predicted_only_where_asked(student, batch) -> None:
    student.eval()
    assert set(student.predict(*batch)[0]) == {'pred_scores', 'gt_label'}
    student.predict_teacher = True
    samples = student.predict(batch[0])
    torch.testing.assert_close(
        torch.stack([each['teacher_scores'] for each in samples]), student.teacher.logits(batch[0])
    )


def test_branches_of_a_frozen_teacher_learn_what_it_sees_itself(batch, tmp_path) -> None:
    """Without labels; where it is sure of the labels, that is the training with labels."""
    torch.save(HSAKDTeacher(BACKBONE).backbone.state_dict(), tmp_path / 'backbone.pth')
    teacher = HSAKDTeacher(BACKBONE, frozen_backbone=True, checkpoint=str(tmp_path / 'backbone.pth')).train()
    assert not teacher.needs_labels
    seen = teacher(batch[0], mode='loss')
    sum(seen.values()).backward()
    assert all((weight.grad is not None) == name.startswith('branches') for name, weight in teacher.named_parameters())
    own = teacher.logits(batch[0]).argmax(1)
    with torch.no_grad():
        classifier = teacher.backbone.get_classifier()
        classifier.weight *= 1e6
        classifier.bias *= 1e6
    for name, value in teacher.loss(batch[0], own).items():
        torch.testing.assert_close(teacher.loss(batch[0], None)[name], value)
    for other in (
        HSAKDTeacher(BACKBONE),
        HSAKDTeacher(BACKBONE, frozen_backbone=True, new_head=True, checkpoint='backbone.pth'),
    ):
        with pytest.raises(UserError, match='set model.frozen_backbone=True model.new_head=False, or use'):
            other(batch[0], mode='loss')


def test_branches_are_measured_by_what_the_network_sees_itself(batch) -> None:
    teacher = HSAKDTeacher(BACKBONE, predict_branches=True).eval()
    own = teacher.logits(batch[0]).argmax(1)
    for mine, known in zip(teacher.predict(batch[0]), teacher.predict(batch[0], own), strict=True):
        assert mine['branch_joint'] == known['branch_joint'] and mine['gt_label'] is None
