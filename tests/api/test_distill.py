"""A distillation as a module: what is in it, what follows it, and what it tells its method."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from torch.utils.data import DataLoader, Subset

from hsakd_mm import api
from tests.api.networks import branched_teacher, loader, narrow, pictures
from tests.conftest import REPO


def train(distillation: api.Distillation, epochs: int = 1) -> list:
    optimizer = torch.optim.SGD(distillation.parameters(), lr=0.01, momentum=0.9)
    found = []
    for _ in range(epochs):
        for losses in distillation:
            optimizer.zero_grad()
            losses['loss'].backward()
            optimizer.step()
            found.append(losses)
    return found


def test_a_step_trains_the_student_in_place_and_nothing_of_the_teacher() -> None:
    student, teacher = narrow(), branched_teacher()
    of_teacher = {name: value.clone() for name, value in teacher.model.state_dict().items()}
    before = {name: value.clone() for name, value in student.state_dict().items()}
    distillation = api.distill(student, teacher, loader())
    losses = train(distillation)
    assert len(losses) == distillation.steps == 2
    assert [name for name, value in losses[0].items() if value.requires_grad] == ['loss']
    after = student.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in before if 'conv' in name)
    assert all(torch.equal(value, of_teacher[name]) for name, value in teacher.model.state_dict().items())
    assert not any(module.training for module in teacher.model.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    theirs = {id(value) for value in teacher.parameters()}
    assert not theirs & {id(value) for value in distillation.parameters()}
    assert distillation.state_dict().keys() == {f'model.{name}' for name in distillation.model.state_dict()}


def test_the_teacher_stays_in_eval_mode_and_follows() -> None:
    teacher = branched_teacher()
    distillation = api.distill(narrow(), teacher)
    teacher.train()
    distillation.double()
    images, labels = pictures()
    losses = distillation(images, labels)
    assert losses['loss'].dtype == torch.float64
    assert not any(module.training for module in teacher.model.modules())
    assert next(teacher.parameters()).dtype == torch.float64


FROZEN = {'HSAKDTeacher': dict(frozen_backbone=True), 'SSKDTeacher': {}}


@pytest.mark.parametrize('method', FROZEN)
def test_no_statistics_of_a_frozen_network_change(method) -> None:
    """Neither of a backbone before ``train()`` is called, nor of a teacher that another network shares."""
    large = narrow()
    teacher = api.distill(large, method=method, **FROZEN[method])
    before = {name: value.clone() for name, value in large.backbone.named_buffers()}
    teacher(*pictures())
    student = api.distill(narrow(), teacher, method=method.removesuffix('Teacher'))
    large.train()
    student(*pictures())
    assert all(torch.equal(value, before[name]) for name, value in large.backbone.named_buffers())


@pytest.mark.parametrize('second', ['Classifier', 'KD', 'DML'])
@pytest.mark.parametrize('first', ['FeatureDistillation', 'HSAKDTeacher', 'SSKDTeacher'])
def test_methods_one_after_another(first, second) -> None:
    """What the first does not train, the second does, but for what the user froze."""
    student = narrow()
    student.backbone.layer1.requires_grad_(False)
    if first in FROZEN:
        head = dict(new_head=True) if first == 'HSAKDTeacher' else {}
        train(api.distill(student, None, loader(), method=first, **FROZEN[first], **head))
    else:
        train(api.distill(student, narrow(), loader(), method=first))
    networks = [student, narrow()] if second == 'DML' else student
    distillation = api.distill(networks, narrow() if second == 'KD' else None, loader(), method=second)
    before = {name: value.clone() for name, value in student.backbone.named_parameters()}
    train(distillation)
    kept = {name for name, value in student.backbone.named_parameters() if torch.equal(value, before[name])}
    assert kept == {name for name in before if name.startswith('layer1.')}


def test_a_teacher_again_a_frozen_network_learns_a_head_and_then_all() -> None:
    network = narrow()
    api.distill(narrow(), network, method='KD')
    api.distill(network, method='HSAKDTeacher', frozen_backbone=True, new_head=True)
    api.distill(network, method='Classifier')
    assert all(parameter.requires_grad for parameter in network.parameters())


NAMES = tuple('abcdefghij')


@pytest.mark.parametrize(
    'teacher, data, student, said',
    [
        (NAMES, NAMES[::-1], None, "and data .* class 0 is 'a' of the teacher and 'j' of the data: .*reorder_classes"),
        (NAMES, None, NAMES[::-1], "and student .* class 0 is 'a' of the teacher and 'j' of the student: .*reorder_cl"),
        (
            NAMES,
            (*NAMES[:9], 'x'),
            None,
            "class 9 is 'j' of the teacher and 'x' of the data: take a teacher of the sam",
        ),
        (NAMES, NAMES[:9], None, "class 9 is 'j' of the teacher and None of the data: take a teacher of the same cl"),
        (NAMES, list(NAMES), NAMES[::-1], None),
        (NAMES, None, None, None),
        (None, NAMES, None, None),
        (NAMES, np.array(NAMES), None, None),
        (None, torch.arange(10), None, None),
        (NAMES, [(name, 'synonym') for name in NAMES], None, None),  # as torchvision's ImageNet
        (NAMES, dict(enumerate(NAMES)), None, None),
    ],
)
def test_names_of_classes_are_compared(teacher, data, student, said) -> None:
    master, pupil, batches = narrow(), narrow(), loader()
    master.classes, pupil.classes, batches.dataset.classes = teacher, student, data
    part = DataLoader(Subset(batches.dataset, [3, 1]), batch_size=2)
    if said is None:
        api.distill(pupil, master, part, method='KD')
        return
    with pytest.raises(api.UserError, match=said):
        api.distill(pupil, master, part, method='KD')
    api.distill(pupil, master, part, method='FeatureDistillation')  # which learns no classes
    if data:
        api.distill(pupil, master, part, method='KD', ce_weight=0)  # which reads no labels


def test_a_teacher_takes_the_order_of_the_data_as_the_sentence_says() -> None:
    teacher, (images, _) = narrow().eval(), pictures()
    teacher.classes, names = NAMES, NAMES[::-1]
    before = teacher(images)
    teacher.model.reorder_classes([teacher.classes.index(name) for name in names])
    teacher.classes = names
    torch.testing.assert_close(teacher(images), before.flip(1))


OTHER = dict(mean=[10.0, 20.0, 30.0], std=[200.0] * 3)


@pytest.mark.parametrize('method', ['KD', 'CRD'])
def test_all_that_a_method_computes_with_follows(method) -> None:
    """Tensors that are neither parameters nor buffers too: from one normalisation to another, tables of the labels."""
    settings = dict(num_negatives=4) if method == 'CRD' else {}
    distillation = api.distill(narrow(), narrow(**OTHER), loader(), method=method, **settings)
    images, labels = pictures()
    distillation.to(torch.bfloat16)
    assert {each.dtype for each in distillation.model._renormalise} == {torch.bfloat16}
    assert distillation(images, labels, torch.arange(8))['loss'].isfinite()
    distillation.to('meta')
    assert all(each.is_meta for each in distillation.model._renormalise or ())
    if method == 'CRD':
        assert distillation.model.contrast.negatives.draw(labels.to('meta'), 4, None).is_meta


def test_floating_point_and_uint8_images_are_the_same() -> None:
    student, (images, _) = narrow().eval(), pictures()
    torch.testing.assert_close(student(images / 255), student(images), rtol=1e-4, atol=1e-4)
    by_hand = (images - torch.tensor(student.mean)[:, None, None]) / torch.tensor(student.std)[:, None, None]
    assert torch.equal(student(images), student.backbone(by_hand))


def test_probabilities_in_place_of_classes() -> None:
    distillation, (images, labels) = api.distill(narrow(), narrow(), method='KD').eval(), pictures()
    hard, soft = distillation(images, labels), distillation(images, torch.eye(10)[labels])
    torch.testing.assert_close(soft['loss'], hard['loss'])


def test_a_teacher_sees_images_in_its_own_normalisation() -> None:
    teacher, (images, labels) = narrow(mean=[10.0, 20.0, 30.0], std=[200.0] * 3).eval(), pictures()
    distillation = api.distill(narrow(), teacher, method='KD')
    seen = []
    teacher.backbone.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    distillation(images, labels)
    expected = (images - torch.tensor([10.0, 20.0, 30.0])[:, None, None]) / 200
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('batch', ['pair', 'list', 'dict', 'images'])
def test_batches_of_every_usual_form(batch) -> None:
    images, labels = pictures()
    form = dict(
        pair=(images, labels.to(torch.int32)), list=[images], dict=dict(inputs=images, labels=labels), images=images
    )[batch]
    distillation = api.distill(narrow(), narrow(), [form], method='KD', ce_weight=0)
    assert len(train(distillation)) == 1 and distillation.steps_per_epoch == 1


def test_autocast() -> None:
    distillation = api.distill(narrow(), narrow(), loader(), method='KD', amp=torch.bfloat16)
    kinds = []
    distillation.networks[0].backbone.register_forward_hook(lambda module, args, output: kinds.append(output.dtype))
    train(distillation)
    assert kinds == [torch.bfloat16] * 2


def test_methods_are_told_step_and_epoch_and_a_runner_is_left_alone() -> None:
    hub = MessageHub.get_current_instance()
    hub.update_info('iter', 77)
    before = dict(hub.runtime_info)
    distillation = api.distill(narrow(), None, loader(), method='OKDDip', ramp_up_epochs=2)
    ramps = [round(float(losses['ramp']), 4) for losses in train(distillation, epochs=3)]
    assert ramps == [0.0067, 0.0067, 0.2865, 0.2865, 1, 1]
    assert dict(hub.runtime_info) == before
    del hub.runtime_info['iter']


def test_branches_in_every_other_step() -> None:
    found = train(api.distill(narrow(), branched_teacher(), loader(), branch_interval=2))
    assert ['loss_kl_branch1' in losses for losses in found] == [True, False]


def test_ramp_up_of_what_is_learnt_from_a_teacher() -> None:
    distillation = api.distill(narrow(), narrow(), loader(), method='KD', ramp_up_epochs=2)
    train(distillation)
    assert distillation.model.distill_weight == 0.25
    assert float(distillation(*pictures())['loss_kd']) > 0 and distillation.model.distill_weight == 0.5


def test_a_training_goes_on_from_a_state_dict() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    teacher, whole = branched_teacher(), api.distill(narrow(), branched_teacher(), loader())
    first = train(whole)
    part = api.distill(narrow(), teacher, loader())
    part.load_state_dict(whole.state_dict())
    images, labels = pictures()
    assert torch.equal(part(images, labels)['loss'], whole(images, labels)['loss']) and len(first) == 2


@pytest.mark.parametrize('name, arguments', [('CifarResNet', dict(depth=8)), ('vit_tiny_patch16_224', {})])
def test_other_networks(name, arguments) -> None:
    """A ViT's branches are light: it has no stages to copy."""
    if name.startswith('vit'):
        arguments = dict(img_size=32, patch_size=8, depth=4, embed_dim=24, num_heads=2)
    branches = dict(type='LightBranches')
    student = api.build_network(name, 10, **arguments)
    teacher = api.distill(narrow(), method='HSAKDTeacher', branches=branches)
    found = train(api.distill(student, teacher, loader(), branches=branches))
    assert all(losses['loss'].isfinite() for losses in found)


def test_importing_the_package_does_not_load_the_library() -> None:
    """Nor does the library load mmdet or mmcv."""
    code = (
        'import sys, hsakd_mm; assert "hsakd_mm.api" not in sys.modules; from hsakd_mm import api; api.methods(); '
        'assert not {"mmdet", "mmcv"} & set(sys.modules)'
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd=REPO)


def test_without_mmdet_and_mmcv() -> None:
    code = (
        'import sys; sys.modules["mmdet"] = sys.modules["mmcv"] = None\n'
        'from tests.api.networks import *\n'
        'losses = next(iter(api.distill(narrow(), branched_teacher(), loader())))\n'
        'assert losses["loss"].isfinite()'
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd=REPO)
