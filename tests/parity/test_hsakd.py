"""HSAKD against numbers of the reference implementation, in float64 to 1e-6 relative."""

import json

import pytest
import torch

from hsakd_mm.checkpoints.upstream import from_upstream
from hsakd_mm.models.distillers.hsakd import HSAKD, HSAKDTeacher
from hsakd_mm.models.distillers.hssakd import HSSAKDOnline
from tests.undrawn import undrawn

from .fill import fill_tensor, images, labels
from .networks import BACKBONES

RELATIVE = 1e-6


@pytest.fixture(scope='module')
def case(vector_file):
    """A vector file; skipped as missing, by name, where a network of it is not here yet."""
    vectors = json.loads(vector_file.read_text())
    names = [vectors.get('student', vectors.get('net_s')), vectors.get('teacher')]
    missing = [name for name in names if name not in BACKBONES]
    if missing:
        pytest.skip(f'parity case missing: no network {missing[0]!r} here yet')
    # Once for all tests of a file: drawing the numbers takes longer than computing with them.
    vectors['weights'] = {
        role: {key: fill_tensor(key, shape) for key, shape in vectors[f'{role}_keys']}
        for role in ('student', 'teacher')
    }
    return vectors


def build(kind: type, case: dict, role: str, **kwargs):
    """A network of ``case`` in float64, filled in the reference's names, every key used once."""
    return fill(lambda: kind(backbone_of(case, role), **kwargs), case['weights'][role])


def backbone_of(case: dict, role: str) -> dict:
    return dict(BACKBONES[case[role]], num_classes=case['num_classes'])


def fill(make, weights: dict):
    """``make()`` with ``weights``, which stay as they are: training changes only the statistics."""
    with undrawn():
        model = make()
    statistics = {name for name, _ in model.named_buffers()}
    weights = from_upstream(weights)
    model.load_state_dict(
        {key: value.clone() if key in statistics else value for key, value in weights.items()}, assign=True
    )
    return model


def batch(case: dict) -> tuple:
    return (images(case['batch'], case['image_size']), labels(case['batch'], case['num_classes']))


def grad_norm(module) -> float:
    grads = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    return torch.stack([grad.square().sum() for grad in grads]).sum().sqrt().item() if grads else 0.0


def check_losses(model, losses: dict, expected: dict, names: dict) -> None:
    """Each term, their sum, and the gradient norms of the whole and of the backbone."""
    branches = len(model.branches)
    for theirs, ours in names.items():
        if theirs == 'ce_branches' or theirs == 'kl_branches':
            got = [losses[f'{ours}{depth}'].item() for depth in range(1, branches + 1)]
        else:
            got = losses[ours].item()
        assert got == pytest.approx(expected[theirs], rel=RELATIVE), theirs
    total = sum(value for name, value in losses.items() if 'loss' in name)
    assert total.item() == pytest.approx(expected['total'], rel=RELATIVE)
    total.backward()
    norms = expected['grad_norm']
    assert grad_norm(model) == pytest.approx(norms['total'], rel=RELATIVE)
    assert grad_norm(model.backbone) == pytest.approx(norms['backbone'], rel=RELATIVE)


@pytest.mark.parametrize('role', ['student', 'teacher'])
def test_parameters_and_logits(case, role) -> None:
    model = build(HSAKDTeacher, case, role).eval()
    backbone = sum(parameter.numel() for parameter in model.backbone.parameters())
    branches = sum(parameter.numel() for parameter in model.branches.parameters())
    assert [backbone, branches] == case['params'][role]

    with torch.no_grad():
        logits, branch_logits = model.forward_branches(model.pretext.expand(batch(case)[0]))
    expected = case[f'{role}_eval']
    wanted = [expected['logits'], *expected['branch_logits']]
    for got, want in zip([logits, *branch_logits], wanted, strict=True):
        # A sum of terms of both signs may cancel, so it is held to the scale of its terms.
        scale = RELATIVE * want['norm']
        assert got.flatten()[:6].tolist() == pytest.approx(want['first'], rel=RELATIVE, abs=1e-9)
        assert got.norm().item() == pytest.approx(want['norm'], rel=RELATIVE)
        assert got.sum().item() == pytest.approx(want['sum'], rel=RELATIVE, abs=scale)


def test_student_step(case) -> None:
    student = build(HSAKD, case, 'student', temperature=case['temperature']).train()
    student.attach_teacher(build(HSAKDTeacher, case, 'teacher').eval())
    check_losses(
        student,
        student.loss(*batch(case)),
        case['student_loss'],
        dict(ce='loss_ce', kl_branches='loss_kl_branch', kl_logits='loss_kl_logits'),
    )


def test_joint_teacher_step(case) -> None:
    teacher = build(HSAKDTeacher, case, 'teacher').train()
    check_losses(
        teacher,
        teacher.loss(*batch(case)),
        case['teacher_joint_loss'],
        dict(ce='loss_ce', ce_branches='loss_ce_branch'),
    )


def test_frozen_teacher_step(case) -> None:
    teacher = build(HSAKDTeacher, case, 'teacher', frozen_backbone=True, checkpoint='unused')
    teacher.train()
    check_losses(teacher, teacher.loss(*batch(case)), case['teacher_frozen_loss'], dict(ce_branches='loss_ce_branch'))
    assert not any(parameter.requires_grad for parameter in teacher.backbone.parameters())


def test_online_step(case) -> None:
    """Two of the student's architecture; the second is filled as ``net2.<key>``."""
    net = dict(backbone=backbone_of(case, 'student'))
    second = ((f'net2.{key}', shape) for key, shape in case['student_keys'])
    weights = {f'net1.{key}': value for key, value in case['weights']['student'].items()}
    weights |= {key: fill_tensor(key, shape) for key, shape in second}
    model = fill(lambda: HSSAKDOnline([net, net], temperature=case['temperature']), weights).train()
    losses = model.loss(*batch(case))
    expected = case['online_loss']
    for theirs, ours in dict(
        ce='loss_ce_net', ce_branches='loss_ce_branch', kl_logits='loss_kl_logits', kl_branches='loss_kl_branch'
    ).items():
        got = sum(value.item() for name, value in losses.items() if name.startswith(ours))
        assert got == pytest.approx(expected[theirs], rel=RELATIVE), theirs
    total = sum(value for name, value in losses.items() if 'loss' in name)
    assert total.item() == pytest.approx(expected['total'], rel=RELATIVE)
    total.backward()
    for name, norms in expected['grad_norm'].items():
        net = getattr(model, name)
        assert grad_norm(net) == pytest.approx(norms['total'], rel=RELATIVE), name
        assert grad_norm(net.backbone) == pytest.approx(norms['backbone'], rel=RELATIVE), name
