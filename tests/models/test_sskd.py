import pytest
import torch
import torch.nn.functional as F
from torch._dynamo.testing import CompileCounter

from hsakd_mm.engine.hooks import CompileHook
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.teacher_check import measure_teacher
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.models.distillers.sskd import SSKD, SSKDTeacher, select_least_wrong

SMALL = dict(type='CifarResNet', depth=8, num_classes=5)
WIDE = dict(SMALL, width=(8, 8, 16, 24))


@pytest.fixture
def batch() -> tuple:
    torch.manual_seed(0)
    return torch.randn(4, 3, 32, 32), torch.tensor([0, 3, 4, 1])


def made(**kwargs) -> SSKD:
    torch.manual_seed(1)
    student = SSKD(SMALL, **kwargs)
    student.attach_teacher(SSKDTeacher(WIDE).eval().requires_grad_(False))
    return student


def naive_kl(own: list, theirs: list, temperature: float):
    """Mean over rows of the teacher's cross-entropy with the student less its entropy."""
    total = 0
    for student, teacher in zip(own, theirs, strict=True):
        soft = (teacher / temperature).softmax(0)
        total = total + (soft * (soft.log() - (student / temperature).log_softmax(0))).sum()
    return temperature**2 * total / len(own)


def naive_outputs(model, images) -> tuple:
    """Logits of images, and logits, similarities and sources of rotated ones, row by row."""
    rows = [torch.rot90(image, turns, (1, 2)) for image in images for turns in range(4)]
    vectors = model.backbone.pooled(model.backbone.forward_taps(torch.stack(rows))[-1])
    logits, heads = model.backbone.classify(vectors), model.ssp_head(vectors)
    turned, similar, source = [], [], []
    for row in range(len(rows)):
        if row % 4:
            turned.append(logits[row])
            similar.append(
                torch.stack([F.cosine_similarity(heads[row], heads[4 * image], dim=0) for image in range(len(images))])
            )
            source.append(row // 4)
    return logits[::4], turned, similar, source


def naive_choice(scores: list, labels: list, share: float) -> list:
    ranks = [score.argsort(descending=True).tolist().index(label) for score, label in zip(scores, labels)]
    wrong = sum(rank > 0 for rank in ranks)
    keep = len(ranks) - wrong + int(share * wrong)
    return sorted(sorted(range(len(ranks)), key=lambda row: ranks[row])[:keep])


def test_the_terms(batch) -> None:
    images, labels = batch
    student = made(lt_keep=0.5).eval()
    losses = student.loss(images, labels)
    own, turned, similar, source = naive_outputs(student, images)
    their_own, their_turned, their_similar, _ = naive_outputs(student.teacher, images)
    by_class = naive_choice(their_turned, [labels[image].item() for image in source], 0.5)
    by_image = naive_choice(their_similar, source, 0.75)
    assert 0 < len(by_class) < 12 and 0 < len(by_image) < 12
    expected = dict(
        loss_ce=0.1 * F.cross_entropy(own, labels),
        loss_kd=0.9 * naive_kl(own, their_own, 4),
        loss_lt=2.7 * naive_kl([turned[row] for row in by_class], [their_turned[row] for row in by_class], 4),
        loss_ss=10 * naive_kl([similar[row] for row in by_image], [their_similar[row] for row in by_image], 0.5),
    )
    assert set(expected) == {name for name in losses if 'loss' in name}
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-4, atol=1e-6)


def test_the_teachers_head(batch) -> None:
    """Only the head learns, from the similarities as they are; BN statistics stay."""
    images, labels = batch
    teacher = SSKDTeacher(WIDE).train()
    before = {key: value.clone() for key, value in teacher.backbone.state_dict().items()}
    losses = teacher.loss(images, labels)
    losses['loss_ssp'].backward()
    _, _, similar, source = naive_outputs(teacher, images)
    torch.testing.assert_close(losses['loss_ssp'], F.cross_entropy(torch.stack(similar), torch.tensor(source)))
    share = sum(int(row.argmax()) == image for row, image in zip(similar, source)) / 12
    assert losses['ssp_accuracy'].item() == pytest.approx(share)
    assert all(each.grad is None for each in teacher.backbone.parameters())
    assert all(each.grad.abs().sum() > 0 for each in teacher.ssp_head[2].parameters())
    for key, value in teacher.backbone.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_selective_transfer() -> None:
    scores = torch.tensor([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0], [2.0, 1.0, 3.0], [1.0, 3.0, 2.0], [3.0, 2.0, 1.0]])
    labels = torch.tensor([0, 0, 0, 2, 2])  # ranks 0, 2, 1, 1, 2
    for share, rows in ((1, [0, 1, 2, 3, 4]), (0.75, [0, 1, 2, 3]), (0.5, [0, 2, 3]), (0, [0])):
        assert select_least_wrong(scores, labels, share).nonzero().flatten().tolist() == rows
    assert select_least_wrong(scores[1:], labels[1:], 0).tolist() == [False, True, False, False]


def test_one_graph_serves_all_steps(batch) -> None:
    """Teachers are wrong for another number of images in each step."""
    images, labels = batch
    student, counter = made().train(), CompileCounter()
    CompileHook(fullgraph=True, backend=counter).compile(student)
    for shift in range(4):
        student.loss(images + shift, labels.roll(shift))
    assert counter.frame_count == 1


def test_who_learns_and_what_is_saved(batch) -> None:
    student = made().train()
    losses = student.loss(*batch)
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in student.parameters())
    assert all(each.grad.abs().sum() > 0 for each in student.backbone.parameters())
    assert all(each.grad is None for each in student.teacher.parameters())
    saved = student.state_dict()
    assert {key for key in saved if not key.startswith('backbone.')} == {
        f'ssp_head.{layer}.{what}' for layer in (0, 2) for what in ('weight', 'bias')
    }


def test_it_starts_as_plain_training() -> None:
    torch.manual_seed(1)
    plain, then = Classifier(SMALL), torch.rand(2)
    for method in (SSKD, SSKDTeacher):
        torch.manual_seed(1)
        model = method(SMALL)
        assert torch.equal(torch.rand(2), then)
        for key, value in plain.backbone.state_dict().items():
            assert torch.equal(value, model.backbone.state_dict()[key])


def test_in_bfloat16(batch) -> None:
    with torch.autocast('cpu', torch.bfloat16):
        losses = made().loss(*batch)
    assert all(value.dtype == torch.float32 and value.isfinite() for value in losses.values())


def test_refuses_in_a_sentence() -> None:
    with pytest.raises(UserError, match='Classifier has none: use one trained as SSKDTeacher'):
        made().attach_teacher(Classifier(SMALL))
    with pytest.raises(UserError, match='ss_keep is a share of rows'):
        SSKD(SMALL, ss_keep=75)
    with pytest.raises(UserError, match='model.checkpoint is None'):
        SSKDTeacher(SMALL).init_weights()


def test_the_teacher_can_be_measured_before_it_teaches(batch) -> None:
    """It has a pretext task, and no branches that could be measured with it."""
    normalise = dict(type='ImagePreprocessor', mean=[0.0] * 3, std=[1.0] * 3)
    teacher = SSKDTeacher(SMALL, data_preprocessor=normalise).eval()
    images = (255 * torch.rand(4, 3, 32, 32)).to(torch.uint8)
    assert list(measure_teacher(teacher, [dict(inputs=images, labels=batch[1])])) == ['top-1']
