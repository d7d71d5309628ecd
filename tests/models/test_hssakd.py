from itertools import combinations

import pytest
import torch
import torch.nn.functional as F

from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.hssakd import HSSAKDOnline
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.models.losses import kl_loss

SMALL = dict(type='TimmBackbone', model_name='resnet18', num_classes=5, channels=(8, 8, 16, 16))
OTHER = dict(type='CifarResNet', depth=8, num_classes=5)


@pytest.fixture
def batch() -> tuple:
    torch.manual_seed(0)
    return torch.randn(3, 3, 32, 32), torch.tensor([0, 3, 4])


def pair(first: dict = SMALL, second: dict = SMALL) -> HSSAKDOnline:
    torch.manual_seed(1)
    return HSSAKDOnline([dict(backbone=first), dict(backbone=second)])


@pytest.mark.parametrize('second', [SMALL, OTHER], ids=['same', 'another family'])
def test_every_weight_of_both_networks_learns(batch, second) -> None:
    model = pair(second=second)
    sum(model.loss(*batch).values()).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_a_network_learns_from_its_peer_and_does_not_teach_itself_to_agree(batch) -> None:
    """Each divergence moves only the network that learns: the other one is its target."""
    model = pair().eval()
    losses = model.loss(*batch)
    sum(value for name, value in losses.items() if 'kl' in name and 'net1' in name).backward()
    assert model.net1.backbone.conv1.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.net2.parameters())


def test_the_terms(batch) -> None:
    images, labels = batch
    model = pair().eval()
    losses = model.loss(images, labels)
    rows = torch.stack([torch.rot90(images, turns, (2, 3)) for turns in range(4)], 1).flatten(0, 1)
    joint = (4 * labels[:, None] + torch.arange(4)).flatten()
    (own, branches), (peer, peer_branches) = (net.forward_branches(rows) for net in (model.net1, model.net2))
    assert len(losses) == 2 * (1 + 1 + 4 + 4)
    expected = dict(
        loss_ce_net1=F.cross_entropy(own[::4], labels),
        loss_kl_logits_net1=kl_loss(own, peer, 3.0),
        loss_kl_logits_net2=kl_loss(peer, own, 3.0),
        loss_ce_branch2_net1=F.cross_entropy(branches[1], joint),
        loss_kl_branch3_net2=kl_loss(peer_branches[2], branches[2], 3.0),
    )
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value)


def test_the_first_network_starts_as_a_plain_one_and_the_second_otherwise() -> None:
    torch.manual_seed(1)
    plain, then = Classifier(SMALL), torch.rand(2)
    model = pair()
    assert torch.equal(torch.rand(2), then)
    assert torch.equal(model.net1.backbone.conv1.weight, plain.backbone.conv1.weight)
    assert not torch.equal(model.net2.backbone.conv1.weight, plain.backbone.conv1.weight)
    drawn = [net.state_dict() for net in (model.net1.branches, model.net2.backbone, model.net2.branches)]
    first = [next(value.flatten()[:8] / value.std() for value in each.values() if value.ndim == 4) for each in drawn]
    assert not any(torch.allclose(one, other) for one, other in combinations(first, 2))


def test_prediction_is_one_plain_forward_of_each(batch) -> None:
    model = pair(second=OTHER).eval()
    sample = model.predict(*batch)[1]
    for net, scores in zip(model.backbones, sample['pred_scores'], strict=True):
        torch.testing.assert_close(scores, net(batch[0])[1])
    model.predict_branches = True
    shares = model.predict(*batch)[1]
    torch.testing.assert_close(shares['pred_scores'], sample['pred_scores'])
    assert [len(net) for net in shares['branch_joint']] == [4, 3]


@pytest.mark.parametrize(
    'nets, said',
    [
        ([dict(backbone=SMALL)], 'model.nets has 1: name two'),
        ([dict(backbone=SMALL), dict(backbone=dict(SMALL, num_classes=6))], 'they have 5 and 6'),
    ],
)
def test_refuses_in_a_sentence(nets, said) -> None:
    with pytest.raises(UserError, match=said):
        HSSAKDOnline(nets)
