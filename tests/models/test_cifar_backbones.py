"""The CIFAR families: widths and counts of the reference, taps, tails, initialisation, mistakes."""

import math

import pytest
import torch
from torch import nn

from hsakd_mm.checkpoints.pretrained import load_backbone
from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones import (
    VGG,
    CifarMobileNetV2,
    CifarResNet,
    CifarStemResNet,
    ShuffleNetV1,
    ShuffleNetV2,
    WideResNet,
)
from hsakd_mm.models.branches import TailBranches
from tests.conftest import REPO

X4 = (32, 64, 128, 256)
# Small members of each family, for what is computed.
SMALL = {
    'resnet': lambda: CifarResNet(8, 5),
    'bottleneck': lambda: CifarResNet(11, 5, block='bottleneck'),
    'wrn': lambda: WideResNet(10, 1, 5),
    'vgg': lambda: VGG(8, 5),
    'vgg_plain': lambda: VGG(8, 5, batch_norm=False),
    'mobilenet': lambda: CifarMobileNetV2(5, width_mult=0.25),
    'shufflenet_v1': lambda: ShuffleNetV1(5),
    'shufflenet_v2': lambda: ShuffleNetV2(5, size=0.2),
    'stem_resnet': lambda: CifarStemResNet(18, 5),
}
small = pytest.mark.parametrize('family', SMALL)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    'make, backbone, branches',
    [
        (lambda: WideResNet(40, 2, 100), 2.255, 5.769),
        (lambda: WideResNet(16, 2, 100), 0.703, 1.928),
        (lambda: CifarResNet(20, 100), 0.278, 0.763),
        (lambda: CifarResNet(56, 100), 0.862, 2.206),
        (lambda: CifarResNet(8, 100, width=X4), 1.234, 3.557),
        (lambda: CifarResNet(32, 100, width=X4), 7.434, 18.907),
        (lambda: VGG(13, 100), 9.462, 37.050),
        (lambda: CifarMobileNetV2(100), 0.813, 4.671),
        (lambda: ShuffleNetV1(100), 0.949, 3.119),
        (lambda: ShuffleNetV2(100), 1.356, 4.520),
        (lambda: CifarStemResNet(50, 100), 23.705, 76.977),
    ],
)
def test_parameters_in_millions(make, backbone, branches) -> None:
    with torch.device('meta'):
        net = make()
        grown = TailBranches(net, 400)
    assert round(parameters(net) / 1e6, 3) == backbone
    assert round(parameters(grown) / 1e6, 3) == branches


@small
def test_taps_are_what_the_attributes_say(family) -> None:
    net = SMALL[family]().eval()
    images = torch.randn(2, 3, 48, 80)  # neither 32 nor square
    with torch.no_grad():
        taps = net.forward_taps(images)
        vector = net.pooled(taps[-1])
        assert torch.equal(net(images), net.classify(vector))
    assert [tap.shape for tap in taps] == [
        (2, channels, 48 // stride, 80 // stride) for channels, stride in zip(net.channels, net.strides, strict=True)
    ]
    assert vector.shape == (2, net.num_features)
    assert net(images).shape == (2, net.num_classes)


@small
def test_tails_continue_their_stage(family) -> None:
    net = SMALL[family]()
    taps = net.forward_taps(torch.randn(2, 3, 32, 32))
    size = 32 // net.strides[-1]
    for stage, tap in enumerate(taps):
        tail = net.build_tail(stage)
        assert tail(tap).shape == (2, net.tail_channels, size, size)
        assert not set(net.parameters()) & set(tail.parameters())
        first, other = (next(each.parameters()) for each in (tail, net.build_tail(stage)))
        assert first.dim() == 1 or not torch.equal(first, other)  # each starts on its own


@small
def test_nothing_changes_a_tap_in_place(family) -> None:
    torch.manual_seed(0)
    net = SMALL[family]()
    branches = TailBranches(net, 20)
    taps = net.forward_taps(torch.randn(2, 3, 32, 32))
    before = [tap.detach().clone() for tap in taps]
    logits, joint = net.forward_head(taps[-1]), branches(taps)
    for tap, copy in zip(taps, before):
        assert torch.equal(tap, copy)
    (logits.sum() + sum(each.sum() for each in joint)).backward()
    for name, parameter in [*net.named_parameters(), *branches.named_parameters()]:
        assert parameter.grad is not None, name


def test_taps_of_wide_resnets_come_before_the_activation() -> None:
    taps = SMALL['wrn']().forward_taps(torch.randn(2, 3, 32, 32))
    assert all((tap < 0).any() for tap in taps)


def test_vgg_pools_once_more_at_64_pixels() -> None:
    """The reference code's rule, in the backbone and not in the branches."""
    net = SMALL['vgg']().eval()
    sizes = {size: [tap.shape[-1] for tap in net.forward_taps(torch.randn(1, 3, size, size))] for size in (32, 64, 96)}
    assert sizes == {32: [32, 16, 8, 4], 64: [64, 32, 16, 4], 96: [96, 48, 24, 12]}
    assert net.build_tail(0)(torch.randn(1, 64, 64, 64)).shape[-1] == 8


def is_he(conv: nn.Conv2d) -> bool:
    fan_out = conv.out_channels * math.prod(conv.kernel_size)
    return abs(conv.weight.std().item() / math.sqrt(2 / fan_out) - 1) < 0.1


# Convolutions as He et al., and Linear: as torch makes it, with no bias, or small with no bias.
@pytest.mark.parametrize(
    'family, backbone, branch',
    [
        ('resnet', (True, 'default'), (True, 'zero_bias')),
        ('stem_resnet', (True, 'default'), (True, 'default')),
        ('wrn', (True, 'zero_bias'), (True, 'zero_bias')),
        ('vgg', (True, 'small'), (False, 'default')),
        ('mobilenet', (True, 'small'), (True, 'small')),
        ('shufflenet_v1', (False, 'default'), (True, 'zero_bias')),
        ('shufflenet_v2', (False, 'default'), (False, 'default')),
    ],
)
def test_initialisation_is_the_references(family, backbone, branch) -> None:
    torch.manual_seed(0)
    net = SMALL[family]()
    for module, (he, linear) in ((net, backbone), (TailBranches(net, 20)[0], branch)):
        convs = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
        # A depthwise convolution tells best, its fans in and out differ most; else the largest.
        assert is_he(max(convs, key=lambda conv: (conv.groups > 3, conv.weight.numel()))) == he
        head = next(layer for layer in module.modules() if isinstance(layer, nn.Linear))
        assert (head.bias == 0).all() == (linear != 'default')
        assert (head.weight.std() < 0.015) == (linear == 'small')


@pytest.mark.parametrize(
    'make, said',
    [
        (lambda: CifarResNet(18, 10), r'basic blocks expects a depth of 6n\+2.*depth is 18'),
        (lambda: CifarResNet(20, 10, block='wide'), "one of .'basic', 'bottleneck'."),
        (lambda: CifarResNet(20, 10, width=(16, 32, 64)), 'four widths'),
        (lambda: WideResNet(20, 2, 10), r'6n\+4'),
        (lambda: WideResNet(4, 2, 10), r'6n\+4 with n >= 1'),
        (lambda: WideResNet(16, 0, 10), 'widen_factor'),
        (lambda: VGG(12, 10), r'\[8, 11, 13, 16, 19\]'),
        (lambda: CifarMobileNetV2(10, width_mult=0.01), '1/16 or more'),
        (lambda: ShuffleNetV2(10, size=3), '1.5, 2'),
        (lambda: CifarStemResNet(20, 10), r'\[18, 34, 50, 101, 152\]'),
    ],
)
def test_mistakes_end_in_a_sentence(make, said) -> None:
    with pytest.raises(UserError, match=said):
        make()


def test_shortcuts_without_parameters(tmp_path) -> None:
    """Option A as akamaster/pytorch_resnet_cifar10 has it: every second pixel, zeros around the channels."""
    torch.manual_seed(0)
    net = CifarResNet(depth=8, num_classes=10, shortcut='pad').eval()
    keys = set(net.state_dict())
    assert not any('downsample' in key for key in keys) and {'linear.weight', 'linear.bias'} <= keys
    block, images = net.layer2[0], torch.randn(2, 16, 8, 8)
    torch.nn.init.zeros_(block.bn2.weight)
    out = block(images)
    torch.testing.assert_close(out[:, 8:24], images[:, :, ::2, ::2].relu())
    assert not out[:, :8].any() and not out[:, 24:].any()
    tails = TailBranches(net, 40)
    assert [tuple(logits.shape) for logits in tails(net.forward_taps(torch.randn(2, 3, 32, 32)))] == [(2, 40)] * 3
    with pytest.raises(UserError, match='shortcut to be one of'):
        CifarResNet(depth=8, num_classes=10, shortcut='padding')


def test_weights_of_akamaster() -> None:
    file = REPO.parent / 'shared' / 'data' / 'weights' / 'resnet20-12fca82f.th'
    if not file.exists():
        pytest.skip(f'the public weights are not here: {file.name}')
    net = CifarResNet(depth=20, num_classes=10, shortcut='pad')
    load_backbone(net, str(file))
    raw = torch.load(file, map_location='cpu', weights_only=True)['state_dict']
    assert torch.equal(net.linear.weight, raw['module.linear.weight'])
    assert len(net.state_dict()) == len(raw) + sum('num_batches' in key for key in net.state_dict())
