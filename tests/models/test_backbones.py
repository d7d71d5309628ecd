import pytest
import timm
import torch
import torchvision

from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones import TimmBackbone


@pytest.mark.parametrize('name', ['resnet18', 'resnet50', 'resnext50_32x4d', 'seresnet18'])
def test_staged_forward_is_timms(name) -> None:
    torch.manual_seed(0)
    net = TimmBackbone(name, num_classes=7).eval()
    reference = timm.create_model(name, num_classes=7).eval()
    reference.load_state_dict(net.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net(images), reference(images))
        taps = net.forward_taps(images)
    assert net.strides == (4, 8, 16, 32)
    assert [tap.shape[1] for tap in taps] == list(net.channels)
    assert [64 // tap.shape[2] for tap in taps] == list(net.strides)


@pytest.mark.parametrize('name', ['resnet18', 'resnet34', 'resnet50'])
def test_keys_are_torchvisions(name) -> None:
    theirs = torchvision.models.get_model(name, weights=None).state_dict()
    ours = TimmBackbone(name, num_classes=1000).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {
        key: value.shape for key, value in theirs.items()}


@pytest.mark.parametrize('name, said', [
    ('resnet81', 'did you mean resnet18'),
    ('xyzzy', 'timm.list_models'),
    ('vgg11', "'vgg11' is of another: choose a ResNet"),
])
def test_refuses_in_a_sentence(name, said) -> None:
    with pytest.raises(UserError, match=said):
        TimmBackbone(name, num_classes=10)


@pytest.mark.parametrize('name', ['resnet18', 'resnet50'])
@pytest.mark.parametrize('stage', range(4))
def test_fresh_tail_continues_a_stage(name, stage) -> None:
    net = TimmBackbone(name, num_classes=10, channels=(8, 16, 24, 32))
    taps = net.forward_taps(torch.randn(2, 3, 64, 64))
    out = net.fresh_tail(stage)(taps[stage])
    assert out.shape == taps[-1].shape  # the last one keeps the resolution: stride 1
    own = {id(parameter) for parameter in net.parameters()}
    tails = [net.fresh_tail(stage), net.fresh_tail(stage)]
    assert not own & {id(parameter) for parameter in tails[0].parameters()}
    first, second = (next(tail.parameters()) for tail in tails)
    assert not torch.equal(first, second)  # each branch starts on its own


def test_blocks_of_the_last_tail_differ() -> None:
    tail = TimmBackbone('resnet18', num_classes=10).fresh_tail(3)[0]
    assert not torch.equal(tail[0].conv1.weight, tail[1].conv1.weight)
