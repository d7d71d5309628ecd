import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.okddip import OKDDip
from hsakd_mm.models.distillers.plain import Classifier

SMALL = dict(type='CifarResNet', depth=8, num_classes=5, width=(4, 4, 8, 16))
TIMM = dict(type='TimmBackbone', model_name='resnet18', num_classes=5, channels=(8, 8, 16, 16))
WRN = dict(type='WideResNet', depth=10, widen_factor=1, num_classes=5)


@pytest.fixture
def batch() -> tuple:
    torch.manual_seed(0)
    return torch.randn(3, 3, 16, 16), torch.tensor([0, 3, 4])


@pytest.fixture
def at_epoch(monkeypatch):
    """What the model is told of the epoch, whatever ran before."""

    def tell(epoch: int) -> None:
        hub = type('Hub', (), {'get_info': lambda self, key, default: dict(epoch=epoch)[key]})()
        monkeypatch.setattr('mmengine.logging.MessageHub.get_current_instance', lambda: hub)

    return tell


def build(backbone: dict = SMALL, **kwargs) -> OKDDip:
    torch.manual_seed(1)
    return OKDDip(backbone, **kwargs)


def divergence(student, teacher, temperature=3.0):
    """T²·KL(teacher || student), written out."""
    p, q = (F.softmax(logits / temperature, 1) for logits in (teacher, student))
    return temperature**2 * (p * (p.log() - q.log())).sum(1).mean()


def peers_of(model: OKDDip, images) -> tuple:
    """Each peer's features and logits, through the shared stages written out."""
    net = model.backbone
    shared = net.layer2(net.layer1(net.relu(net.bn1(net.conv1(images)))))
    features = [peer.stages(shared).mean((2, 3)) for peer in model.peers]
    return features, [peer.fc(each) for peer, each in zip(model.peers, features)]


@pytest.mark.parametrize('epoch', [0, 20, 80, 200])
def test_the_terms(batch, at_epoch, epoch) -> None:
    images, labels = batch
    at_epoch(epoch)
    model = build(kl_weight=0.5).eval()
    losses = model.loss(images, labels)
    weight = 0.5 * math.exp(-5 * (1 - min(epoch, 80) / 80) ** 2)
    features, logits = peers_of(model, images)
    leader = model.backbone(images)
    assert len(losses) == 2 * (1 + 3) + 1
    torch.testing.assert_close(losses['ramp'].item(), 2 * weight)
    torch.testing.assert_close(losses['loss_ce_leader'], F.cross_entropy(leader, labels))
    torch.testing.assert_close(losses['loss_kl_leader'], weight * divergence(leader, sum(logits) / 3))
    for k in range(3):
        mixed = []
        for row in range(len(images)):
            energy = [(model.query.weight @ features[k][row]) @ (model.key.weight @ other[row]) for other in features]
            attention = torch.softmax(torch.stack(energy), 0)
            mixed.append(sum(a * own[row] for a, own in zip(attention, logits)))
        torch.testing.assert_close(losses[f'loss_ce_peer{k + 1}'], F.cross_entropy(logits[k], labels))
        torch.testing.assert_close(losses[f'loss_kl_peer{k + 1}'], weight * divergence(logits[k], torch.stack(mixed)))


def test_no_ramp(batch, at_epoch) -> None:
    at_epoch(0)
    assert build(ramp_up_epochs=0).loss(*batch)['ramp'] == 1


@pytest.mark.parametrize('backbone', [SMALL, TIMM, WRN], ids=lambda cfg: cfg['type'])
def test_every_weight_learns(batch, backbone) -> None:
    model = build(backbone, ramp_up_epochs=0)
    losses = model.loss(*batch)
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_where_gradients_go(batch, at_epoch) -> None:
    """The leader's own stage learns from the leader's terms only; a target is moved as well."""
    at_epoch(80)
    model = build()
    model.loss(*batch)['loss_kl_leader'].backward()
    assert model.peers[2].fc.weight.grad.abs().sum() > 0
    assert model.query.weight.grad is None
    assert model.backbone.layer2[0].conv1.weight.grad.abs().sum() > 0

    model = build()
    losses = model.loss(*batch)
    sum(value for name, value in losses.items() if 'peer' in name).backward()
    assert model.backbone.layer3[0].conv1.weight.grad is None
    assert model.backbone.fc.weight.grad is None
    assert model.query.weight.grad.abs().sum() > 0 and model.key.weight.grad.abs().sum() > 0
    assert model.backbone.conv1.weight.grad.abs().sum() > 0


def test_attention() -> None:
    """Peers alike in features weigh alike; one whose key fits a query is heard most by it."""
    model = build(num_peers=2)
    logits = torch.tensor([[[0.0, 2.0], [4.0, 0.0]]])
    alike = model.attention_targets(torch.ones(1, 2, 16), logits)
    torch.testing.assert_close(alike, torch.tensor([[[2.0, 1.0], [2.0, 1.0]]]))
    for layer in (model.query, model.key):
        layer.weight.data = torch.eye(2, 16)
    features = torch.zeros(1, 2, 16)
    features[0, 1, 0] = 10.0
    first, second = model.attention_targets(features, logits)[0]
    torch.testing.assert_close(first, torch.tensor([2.0, 1.0]))  # its query is zero
    torch.testing.assert_close(second, torch.tensor([4.0, 0.0]))


def test_peers_share_nothing_with_each_other_and_differ() -> None:
    model = build()
    weights = [model.backbone.layer3[0].conv1.weight, *(peer.stages[0][0].conv1.weight for peer in model.peers)]
    assert {tuple(weight.shape) for weight in weights} == {(16, 8, 3, 3)}
    assert len({weight.sum().item() for weight in weights}) == 4
    assert model.query.weight.shape == model.key.weight.shape == (2, 16)


def test_the_leader_starts_and_predicts_as_the_plain_network(batch) -> None:
    torch.manual_seed(1)
    plain, then = Classifier(SMALL), torch.rand(2)
    model = build()
    assert torch.equal(torch.rand(2), then)
    own = model.backbone.state_dict()
    assert all(torch.equal(value, own[key]) for key, value in plain.backbone.state_dict().items())
    pairs = zip(model.eval().predict(*batch), plain.eval().predict(*batch))
    assert all(torch.equal(ours['pred_scores'], theirs['pred_scores']) for ours, theirs in pairs)


def test_losses_are_wide_under_autocast(batch) -> None:
    with torch.autocast('cpu', torch.bfloat16):
        losses = build().loss(*batch)
    assert all(value.dtype == torch.float32 for value in losses.values())


def test_a_resumed_run_goes_on_where_the_ramp_was(tmp_path, monkeypatch) -> None:
    seen = []
    ramp = OKDDip.ramp
    monkeypatch.setattr(OKDDip, 'ramp', lambda self: seen.append(ramp(self)) or seen[-1])
    monkeypatch.setattr(Runner, '_log_env', lambda self, cfg: None)  # slow
    torch.manual_seed(0)
    samples = [dict(inputs=torch.randn(3, 8, 8), labels=label) for label in (0, 1, 2, 3)]

    def train(epochs: int, **kwargs) -> None:
        Runner(
            build(ramp_up_epochs=4),
            str(tmp_path),
            DataLoader(samples, batch_size=2),
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            log_level='ERROR',
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
            default_scope='hsakd_mm',
            experiment_name=f'{tmp_path.name}_{epochs}',
            **kwargs,
        ).train()

    train(2)
    train(3, resume=True)
    expected = [math.exp(-5 * (1 - epoch / 4) ** 2) for epoch in (0, 0, 1, 1, 2, 2)]
    assert seen == pytest.approx(expected)


def test_refuses_in_a_sentence() -> None:
    with pytest.raises(UserError, match='num_peers is 1: set it to 2'):
        build(num_peers=1)
