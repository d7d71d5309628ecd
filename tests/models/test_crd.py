import copy
import math

import pytest
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import distributed

from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.crd import CRD, ContrastiveLoss, NegativeSampler
from hsakd_mm.models.distillers.plain import Classifier

SMALL = dict(type='CifarResNet', depth=8, num_classes=5)
WIDE = dict(SMALL, width=(8, 8, 16, 24))
LABELS = [0, 3, 1, 1, 0, 4, 3, 0, 1, 2]


class Images:
    """What CRD asks of a data set."""

    def __init__(self, labels, repeats: int = 1) -> None:
        self.labels = labels * repeats
        self.period = len(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def get_data_info(self, index: int) -> dict:
        return dict(gt_label=self.labels[index], sample_idx=index % self.period)


def made(num_negatives: int = 4, **kwargs) -> CRD:
    torch.manual_seed(0)
    student = CRD(SMALL, num_samples=10, teacher_features=24, dim=6, num_negatives=num_negatives, **kwargs)
    student.attach_teacher(Classifier(WIDE).eval().requires_grad_(False))
    student.attach_dataset(Images(LABELS))
    return student


def batch(*indices: int) -> tuple:
    torch.manual_seed(sum(indices))
    indices = torch.tensor(indices)
    return torch.randn(len(indices), 3, 32, 32), torch.tensor(LABELS)[indices], indices


def naive(model: CRD, images, labels, indices) -> tuple:
    """The loss and both banks after it, number by number, in double precision."""
    contrast = copy.deepcopy(model.contrast).double()
    draws = contrast.draw(labels).tolist()
    sides = []
    for net, embed in ((model.backbone, contrast.embed_student), (model.teacher.backbone, contrast.embed_teacher)):
        vectors = embed(net.pooled(net.forward_taps(images)[-1]).double())
        sides.append(vectors / (vectors**2).sum(1, keepdim=True) ** 0.5)
    banks = [contrast.bank_student, contrast.bank_teacher]
    total, n, k = 0, len(LABELS), len(draws[0])
    for side, vectors in enumerate(sides):
        other = banks[1 - side]
        h = [
            [math.exp(float(vector @ other[row]) / 0.07) for row in [int(index), *draw]]
            for vector, index, draw in zip(vectors, indices, draws)
        ]
        z = float(contrast.normaliser[side])
        if z < 0:
            z = n * sum(map(sum, h)) / (len(h) * (k + 1))
        for same, *others in h:
            total -= math.log(same / z / (same / z + k / n + 1e-7)) / len(h)
            total -= sum(math.log(k / n / (each / z + k / n + 1e-7)) for each in others) / len(h)
    for bank, vectors in zip(banks, sides):
        for index, vector in zip(indices, vectors):
            row = 0.5 * bank[index] + 0.5 * vector
            bank[index] = row / row.norm()
    return total, banks


def test_the_loss_and_the_banks() -> None:
    """Two steps: the first one also finds Z, which the second one keeps."""
    model = made(kd_weight=1.0).eval()
    for indices in ((1, 4, 9), (2, 1, 7)):
        images, labels, indices = batch(*indices)
        with torch.no_grad():
            total, banks = naive(model, images, labels, indices)
        losses = model.loss(images, labels, indices)
        assert losses['loss_crd'].item() == pytest.approx(0.8 * total, rel=1e-4)
        for side, bank in zip(('student', 'teacher'), banks):
            torch.testing.assert_close(getattr(model.contrast, f'bank_{side}').double(), bank, rtol=1e-4, atol=1e-6)
        logits, theirs = model.backbone(images), model.teacher.backbone(images)
        soft = F.softmax(theirs / 4, 1)
        divergence = (soft * (soft.log() - F.log_softmax(logits / 4, 1))).sum(1).mean()
        torch.testing.assert_close(losses['loss_kd'], 16 * divergence)
        torch.testing.assert_close(losses['loss_ce'], F.cross_entropy(logits, labels))


def test_who_learns() -> None:
    model = made().train()
    losses = model.loss(*batch(0, 1, 5))
    assert 'loss_kd' not in losses
    losses['loss_crd'].backward()
    without = {name for name, each in model.named_parameters() if each.grad is None or not each.grad.abs().sum() > 0}
    assert without == {'backbone.fc.weight', 'backbone.fc.bias'}  # cross-entropy's
    assert all(each.grad is None for each in model.teacher.parameters())


@pytest.mark.parametrize('number', [3, 7, 8, 50])
def test_negatives_are_of_other_classes_and_distinct_while_there_are_enough(number) -> None:
    labels = torch.tensor(LABELS)
    generator = torch.Generator().manual_seed(0)
    rows = NegativeSampler(labels).draw(labels, number, generator)
    assert rows.shape == (10, number)
    for label, row in zip(LABELS, rows):
        there = sum(each != label for each in LABELS)
        assert all(LABELS[index] != label for index in row)
        assert number > there or len(set(row.tolist())) == number


@pytest.mark.parametrize('number', [2, 8])
def test_all_negatives_are_alike(number) -> None:
    """3000 rows for class 1, whose seven negatives are drawn without and with replacement."""
    rows = NegativeSampler(torch.tensor(LABELS)).draw(
        torch.ones(3000, dtype=torch.int64), number, torch.Generator().manual_seed(0)
    )
    share = rows.flatten().bincount(minlength=10) / rows.numel()
    expected = torch.tensor([float(label != 1) for label in LABELS]) / 7
    torch.testing.assert_close(share, expected, atol=0.02, rtol=0)


def test_a_resumed_run_goes_on_exactly() -> None:
    model = made()
    model.loss(*batch(0, 1, 5))
    saved = copy.deepcopy(model.state_dict())
    assert {key for key in saved if not key.startswith('backbone.')} == {
        f'contrast.{name}'
        for name in (
            'embed_student.weight',
            'embed_student.bias',
            'embed_teacher.weight',
            'embed_teacher.bias',
            'bank_student',
            'bank_teacher',
            'normaliser',
            'drawn',
        )
    }
    resumed = made()
    resumed.load_state_dict(saved)
    expected, got = (each.loss(*batch(3, 5, 8)) for each in (model, resumed))
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    for key, value in model.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_it_starts_as_plain_training_and_leaves_its_random_numbers_alone() -> None:
    torch.manual_seed(0)
    plain, then = Classifier(SMALL), torch.rand(2)
    torch.manual_seed(0)
    model = CRD(SMALL, num_samples=10, teacher_features=24, num_negatives=4)
    assert torch.equal(torch.rand(2), then)
    for key, value in plain.backbone.state_dict().items():
        assert torch.equal(value, model.backbone.state_dict()[key])
    model = made()
    images = batch(0, 1, 5)
    state = torch.get_rng_state()
    model.loss(*images)
    assert torch.equal(torch.get_rng_state(), state)


def test_in_bfloat16() -> None:
    with torch.autocast('cpu', torch.bfloat16):
        losses = made()(*batch(0, 1, 5)[:2], mode='loss', indices=torch.tensor([0, 1, 5]))
    assert losses['loss_crd'].dtype == torch.float32 and losses['loss_crd'].isfinite()


def test_validation_needs_no_index() -> None:
    model = made().eval()
    images, labels, indices = batch(0, 1, 5)
    for sample in (model(images, labels, mode='predict')[1], model(images, labels, mode='predict', indices=indices)[1]):
        torch.testing.assert_close(sample['pred_scores'], model.backbone(images)[1])


def test_refuses_in_a_sentence() -> None:
    model = made()
    images, labels, indices = batch(0, 1)
    with pytest.raises(UserError, match='with_index=True'):
        model(images, labels, mode='loss')
    with pytest.raises(UserError, match='set model.teacher_features=64'):
        model.attach_teacher(Classifier(SMALL))
    for data, said in (
        (Images(LABELS * 2), 'set model.num_samples=20'),
        (Images([1] * 4), 'all to train on are of one class'),
        (Images(LABELS[:5], 2), 'image 5 of Images has the index 0'),
    ):
        with pytest.raises(UserError, match=said):
            model.attach_dataset(data)
    model.contrast.negatives = None
    with pytest.raises(UserError, match='add a DistillationHook'):
        model(images, labels, mode='loss', indices=indices)


def contrast() -> ContrastiveLoss:
    torch.manual_seed(0)
    made = ContrastiveLoss(5, 7, 10, 6, 4, 0.07, 0.5).double()
    made.negatives = NegativeSampler(torch.tensor(LABELS))
    return made


def parts() -> list:
    torch.manual_seed(1)
    labels = torch.tensor(LABELS)
    return [
        (torch.randn(2, 5).double(), torch.randn(2, 7).double(), labels[indices], indices)
        for indices in (torch.tensor([1, 4]), torch.tensor([4, 8]))
    ]


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group('gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=2)
    model = contrast()
    model(*parts()[rank])
    torch.save((model.state_dict(), model.draw(torch.tensor([1, 1]))), f'{folder}/{rank}.pth')
    distributed.destroy_process_group()


def test_two_processes_hold_equal_banks(tmp_path) -> None:
    mp.start_processes(work, (str(tmp_path),), nprocs=2, start_method='fork')
    (first, draws), (second, other_draws) = (torch.load(tmp_path / f'{rank}.pth') for rank in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(draws, other_draws)
    assert (first['normaliser'] > 0).all()
    alone = contrast()
    for part in parts():  # the rows of rank 0, then those of rank 1
        alone(*part)
    for side in ('student', 'teacher'):
        torch.testing.assert_close(first[f'bank_{side}'], getattr(alone, f'bank_{side}'))


@pytest.mark.parametrize('images, rows, negatives', [(6, 50_000, 16_384), (20, 20, 16_384), (20, 21, 19), (9, 10, 1)])
def test_fewer_images_than_rows_or_negatives(images, rows, negatives) -> None:
    labels = torch.arange(images) % 3
    contrast = ContrastiveLoss(8, 8, rows, 6, negatives, temperature=0.07, momentum=0.5)
    contrast.negatives = NegativeSampler(labels)
    drawn = contrast.draw(labels)
    assert drawn.shape == (images, negatives) and drawn.max() < images
    assert (labels[drawn] != labels[:, None]).all()
    assert contrast(torch.randn(images, 8), torch.randn(images, 8), labels, torch.arange(images)).isfinite()
