from itertools import combinations

import pytest
import torch
import torch.nn.functional as F

from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones.wide_bottleneck import WideBottleneckResNet
from hsakd_mm.models.distillers.css import CSS, mask_corner
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.registry import MODELS

SMALL = dict(type='TimmBackbone', model_name='resnet18', num_classes=5, channels=(8, 8, 16, 16))
OTHER = dict(type='CifarResNet', depth=8, num_classes=5)
FAMILIES = [
    SMALL,
    OTHER,
    dict(type='CifarResNet', depth=11, num_classes=5, block='bottleneck'),
    dict(type='WideResNet', depth=10, widen_factor=1, num_classes=5),
    dict(type='VGG', depth=8, num_classes=5),  # 64 pixels: its stages are others at that size
    dict(type='CifarMobileNetV2', num_classes=5, width_mult=0.25),
    dict(type='ShuffleNetV1', num_classes=5),
    dict(type='ShuffleNetV2', num_classes=5, size=0.5),
    dict(type='TimmBackbone', model_name='mobilenetv3_small_050', num_classes=5),
]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def batch() -> tuple:
    torch.manual_seed(0)
    return torch.randn(2, 3, 64, 64), torch.tensor([0, 3])


def pair(first: dict = OTHER, second: dict = OTHER, **kwargs) -> CSS:
    torch.manual_seed(1)
    return CSS([dict(backbone=first), dict(backbone=second)], **kwargs)


@pytest.mark.parametrize(
    'branch, rows, columns, fixed',
    [
        (0, [0, 1], [0, 1], False),
        (1, [6, 7], [6, 7], False),
        (2, [6, 7], [0, 1], False),
        (3, [0, 1], [6], False),
        (3, [0, 1], [6, 7], True),
        (4, [], [], False),
    ],
)
def test_a_branch_misses_one_corner_in_all_channels(branch, rows, columns, fixed) -> None:
    expected = torch.ones(2, 3, 8, 8)
    for row in rows:
        for column in columns:
            expected[:, :, row, column] = 0
    assert torch.equal(mask_corner(torch.ones(2, 3, 8, 8), branch, fixed), expected)


def test_a_map_less_than_four_high_keeps_its_corners() -> None:
    assert all(mask_corner(torch.ones(1, 1, 3, 3), branch).all() for branch in range(5))


@pytest.mark.parametrize(
    'pixels, branches, mode, said', [(32, 3, True, 2), (32, 1, True, 0), (32, 3, False, 0), (64, 3, True, 0)]
)
def test_says_once_that_no_corner_is_masked(pixels, branches, mode, said, monkeypatch) -> None:
    """Of each network: before the last stage ResNet-18 has 2x2 cells of images of 32 pixels."""
    lines: list = []
    monkeypatch.setattr('hsakd_mm.models.distillers.css.print_log', lambda line, *args: lines.append(line))
    model = pair(SMALL, SMALL, branches=branches).train(mode)
    for _ in range(2):
        model.net1(torch.randn(2, 3, pixels, pixels))
        model.net2(torch.randn(2, 3, pixels, pixels))
    assert len(lines) == said
    assert all('one is 2 x 2, too small' in line and 'images of 32 x 32' in line for line in lines)


@pytest.mark.parametrize('backbone', FAMILIES, ids=lambda cfg: cfg.get('model_name', cfg['type']))
def test_on_any_staged_backbone(backbone, batch) -> None:
    """Both parts of it make the whole, and every weight of both networks learns."""
    images, labels = batch
    model = pair(backbone).eval()
    net, n = model.net1, model.branches
    with torch.no_grad():
        taps = net.backbone.forward_taps(images)
        tap = net.backbone.forward_early(images)
        assert torch.equal(tap, taps[-2])
        assert torch.equal(net.backbone.forward_last(tap, images), taps[-1])
        logits = net(images)
        assert logits.shape == (n, 2, 5 * n)
        for index, tail in enumerate(net.tails, 1):
            torch.testing.assert_close(logits[index], tail(mask_corner(taps[-2], index)))
        assert torch.equal(taps[-2], tap)  # a branch leaves to the next one what it was given
    sum(value for name, value in model.train().loss(images, labels).items() if 'loss' in name).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_branch_0_is_the_backbone_without_its_corner(batch) -> None:
    net = pair().eval().net1
    hidden = mask_corner(net.backbone.forward_taps(batch[0])[-2], 0)
    torch.testing.assert_close(net(batch[0])[0], net.backbone.forward_head(net.backbone.layer3(hidden)))
    assert not torch.allclose(net(batch[0])[0], net.backbone(batch[0]))


def test_the_terms(batch) -> None:
    """The formula, one image and one branch after another."""
    images, labels = batch
    model, temperature = pair(second=SMALL, branches=2).eval(), 3
    logits = [model.net1(images), model.net2(images)]
    ce, kl = [], []
    for own, peer in (logits, logits[::-1]):
        terms = [[-own[i, b].log_softmax(0)[2 * y + i] for b, y in enumerate(labels.tolist())] for i in range(2)]
        ce.append(sum(map(sum, terms)) / 4)
        p, q = (peer / temperature).softmax(2), (own / temperature).softmax(2)
        kl.append((p * (p / q).log()).sum() / 4)
    losses = model.loss(images, labels)
    assert len(losses) == 6
    for own in range(2):
        ratio = ce[own] / ce[1 - own]
        torch.testing.assert_close(losses[f'loss_ce_net{own + 1}'], ce[own])
        torch.testing.assert_close(losses[f'utility_net{own + 1}'], ratio.detach())
        torch.testing.assert_close(losses[f'loss_kl_net{own + 1}'], ratio * temperature**2 * kl[own])


@pytest.mark.parametrize('detach', [False, True])
def test_whether_a_networks_loss_moves_its_peer(batch, detach) -> None:
    model = pair(detach=detach).eval()
    losses = model.loss(*batch)
    (losses['loss_ce_net1'] + losses['loss_kl_net1']).backward()
    assert model.net1.backbone.conv1.weight.grad.abs().sum() > 0
    assert all((parameter.grad is None) == detach for parameter in model.net2.parameters())


def test_the_first_network_starts_as_a_plain_one_and_the_second_otherwise() -> None:
    torch.manual_seed(1)
    plain, then = Classifier(OTHER), torch.rand(2)
    model = pair()
    assert torch.equal(torch.rand(2), then)
    first, second = model.net1.backbone.state_dict(), model.net2.backbone.state_dict()
    for key, value in plain.backbone.state_dict().items():
        if not key.startswith('fc.'):
            assert torch.equal(first[key], value)
    assert not torch.equal(first['conv1.weight'], second['conv1.weight'])
    own, *tails = model.net1.backbone.layer3, *(tail.stages[0] for tail in model.net1.tails)
    starts = [stage[0].conv1.weight for stage in (own, *tails)]
    assert all(not torch.equal(one, other) for one, other in combinations(starts, 2))


def test_its_backbone_is_a_plain_one_but_for_the_classifier() -> None:
    model = pair(SMALL, SMALL)
    assert model.num_classes == 5
    weights = {
        key.removeprefix('net1.backbone.'): value
        for key, value in model.state_dict().items()
        if key.startswith('net1.backbone.')
    }
    plain = MODELS.build(dict(SMALL, num_classes=0))
    plain.load_state_dict({key: value for key, value in weights.items() if not key.startswith('fc.')}, strict=True)
    assert weights['fc.weight'].shape[0] == 15


def test_prediction_joins_the_branches_and_the_networks(batch) -> None:
    model = pair(second=SMALL).eval()
    with torch.no_grad():
        joint = [model.net1(batch[0]), model.net2(batch[0])]
        samples = model.predict(*batch)
        assert torch.equal(model(batch[0]), torch.stack([sample['pred_scores'] for sample in samples]))
    for index, sample in enumerate(samples):
        scores = [[sum(own[i, index, 3 * y + i] for i in range(3)) / 3 for y in range(5)] for own in joint]
        torch.testing.assert_close(sample['pred_scores'], torch.tensor(scores))
        torch.testing.assert_close(sample['ensemble_scores'], torch.tensor(scores).mean(0))
        assert sample['gt_label'] == batch[1][index]
        shares = [row.softmax(0) for own in joint for row in own[:, index]]
        every = [(a - b).norm() for a, b in combinations(shares, 2)]
        mutual = [(a - b).norm() for a, b in zip(shares[:3], shares[3:])]
        expected = [sum(every).item() / 15, sum(mutual).item() / 3]
        # torch's distance, and so the reference code's, adds 1e-6 to each difference.
        assert sample['diversity'] == pytest.approx(expected, abs=1e-4)


def test_one_branch_is_two_networks_that_teach_each_other(batch) -> None:
    images, labels = batch
    model = pair(branches=1).eval()
    assert torch.equal(model.aggregate(model.net1(images)), model.net1(images)[0])
    torch.testing.assert_close(
        model.loss(images, labels)['loss_ce_net2'], F.cross_entropy(model.net2(images)[0], labels)
    )


def test_losses_are_wide_where_the_networks_compute_in_bfloat16(batch) -> None:
    with torch.autocast('cpu', torch.bfloat16):
        losses = pair().loss(*batch)
    assert {value.dtype for value in losses.values()} == {torch.float32}


@pytest.mark.parametrize(
    'nets, kwargs, said',
    [
        ([OTHER], {}, 'model.nets has 1: name two'),
        ([OTHER, dict(OTHER, num_classes=6)], {}, 'they have 5 and 6'),
        ([OTHER, OTHER], dict(branches=0), 'branches to be an integer of at least 1, and it is 0'),
    ],
)
def test_refuses_in_a_sentence(nets, kwargs, said) -> None:
    with pytest.raises(UserError, match=said):
        CSS([dict(backbone=backbone) for backbone in nets], **kwargs)


def test_wide_bottlenecks_are_wide_inside_only() -> None:
    net = WideBottleneckResNet(11, 2, 5)
    assert net.channels == (64, 128, 256) and net.layer3[0].conv2.weight.shape == (128, 128, 3, 3)
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 5)
    plain = MODELS.build(dict(type='CifarResNet', depth=11, block='bottleneck', num_classes=5))
    assert set(net.state_dict()) == set(plain.state_dict())
    with pytest.raises(UserError, match='widen_factor to be an integer of at least 1, and it is 0'):
        WideBottleneckResNet(11, 0, 5)
