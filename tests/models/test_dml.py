import pytest
import torch
import torch.nn.functional as F

from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.dml import DML
from hsakd_mm.models.distillers.plain import Classifier

SMALL = dict(type='CifarResNet', depth=8, num_classes=5, width=(4, 4, 8, 8))
OTHER = dict(type='TimmBackbone', model_name='resnet18', num_classes=5, channels=(8, 8, 16, 16))


@pytest.fixture
def batch() -> tuple:
    torch.manual_seed(0)
    return torch.randn(3, 3, 16, 16), torch.tensor([0, 3, 4])


def networks(*backbones: dict, **kwargs) -> DML:
    torch.manual_seed(1)
    return DML([dict(backbone=backbone) for backbone in backbones], **kwargs)


def divergence(student, teacher, temperature=3.0):
    """T²·KL(teacher || student), written out."""
    p, q = (F.softmax(logits / temperature, 1) for logits in (teacher, student))
    return temperature**2 * (p * (p.log() - q.log())).sum(1).mean()


@pytest.mark.parametrize('pairwise', [False, True])
def test_the_terms(batch, pairwise) -> None:
    images, labels = batch
    model = networks(SMALL, SMALL, SMALL, pairwise=pairwise).eval()
    a, b, c = (net(images) for net in model.backbones)
    losses = model.loss(images, labels)
    assert len(losses) == 6
    torch.testing.assert_close(losses['loss_ce_net3'], F.cross_entropy(c, labels))
    expected = divergence(b, (a + c) / 2)
    if pairwise:
        expected = (divergence(b, a) + divergence(b, c)) / 2
    torch.testing.assert_close(losses['loss_kl_net2'], expected)


def test_of_two_networks_both_forms_are_the_same(batch) -> None:
    mean, pairwise = (networks(SMALL, OTHER, pairwise=each).eval().loss(*batch) for each in (False, True))
    assert mean.keys() == pairwise.keys()
    for name, value in mean.items():
        torch.testing.assert_close(value, pairwise[name])


@pytest.mark.parametrize('nets', [[SMALL] * 4, [SMALL, OTHER]], ids=['four', 'another family'])
def test_every_weight_of_every_network_learns(batch, nets) -> None:
    model = networks(*nets)
    sum(model.loss(*batch).values()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    assert {key.split('.')[0] for key in model.state_dict()} == set(model.names)
    assert all(key.split('.')[1] == 'backbone' for key in model.state_dict())


@pytest.mark.parametrize('detach', [False, True])
def test_who_teaches_is_moved_too_unless_detached(batch, detach) -> None:
    model = networks(SMALL, SMALL, detach=detach)
    model.loss(*batch)['loss_kl_net1'].backward()
    net1, net2 = model.backbones
    assert net1.conv1.weight.grad.abs().sum() > 0
    assert (net2.conv1.weight.grad is None) == detach


def test_the_first_network_starts_as_a_plain_one_and_the_others_otherwise() -> None:
    torch.manual_seed(1)
    plain, then = Classifier(SMALL).backbone, torch.rand(2)
    net1, net2, net3 = networks(SMALL, SMALL, SMALL).backbones
    networks(SMALL, SMALL)
    assert torch.equal(torch.rand(2), then)
    assert all(torch.equal(value, net1.state_dict()[key]) for key, value in plain.state_dict().items())
    weights = [net.conv1.weight for net in (net1, net2, net3)]
    assert not torch.equal(weights[1], weights[0]) and not torch.equal(weights[2], weights[1])


def test_prediction_is_one_plain_forward_of_each(batch) -> None:
    model = networks(SMALL, OTHER, SMALL).eval()
    sample = model.predict(*batch)[1]
    for net, scores in zip(model.backbones, sample['pred_scores'], strict=True):
        torch.testing.assert_close(scores, net(batch[0])[1])


def test_losses_are_wide_under_autocast(batch) -> None:
    with torch.autocast('cpu', torch.bfloat16):
        losses = networks(SMALL, SMALL, SMALL).loss(*batch)
    assert all(value.dtype == torch.float32 for value in losses.values())


@pytest.mark.parametrize(
    'nets, said',
    [
        ([SMALL], 'model.nets has 1: name two or more'),
        ([SMALL, SMALL, dict(SMALL, num_classes=6)], 'they have 5 and 5 and 6'),
    ],
)
def test_refuses_in_a_sentence(nets, said) -> None:
    with pytest.raises(UserError, match=said):
        networks(*nets)
