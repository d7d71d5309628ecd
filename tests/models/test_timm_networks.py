"""Any timm CNN that is a chain of modules: one small network of each kind, from build to export."""

import pytest
import timm
import torch
from torch import nn

from hsakd_mm.checkpoints.backbone_file import is_head, read_backbone
from hsakd_mm.checkpoints.export import export_backbone
from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones import TimmBackbone
from hsakd_mm.models.branches import LightBranches
from hsakd_mm.models.distillers.hsakd import HSAKD, HSAKDTeacher

NARROW = dict(channels=(8, 8, 16, 16))
NETWORKS = {  # name: (arguments that make it small, its taps' channels)
    'resnet10t': (NARROW, (8, 8, 16, 16)),
    'seresnet18': (NARROW, (8, 8, 16, 16)),
    'resnet26d': (NARROW, (32, 32, 64, 64)),
    'ecaresnet26t': (NARROW, (32, 32, 64, 64)),
    'legacy_seresnet18': ({}, (64, 128, 256, 512)),
    'skresnet18': (dict(channels=(32, 32, 32, 64)), (32, 32, 32, 64)),
    'resnest14d': (NARROW, (32, 32, 64, 64)),
    'res2net50_14w_8s': (dict(layers=(1, 1, 1, 2), channels=(32, 32, 32, 32)), (128, 128, 128, 128)),
    'resnetv2_18': (dict(channels=(8, 16, 24, 32)), (8, 16, 24, 32)),
    'resnext50_32x4d': (dict(layers=(1, 1, 1, 2), channels=(32, 32, 32, 32)), (128, 128, 128, 128)),
    'regnetx_002': ({}, (24, 56, 152, 368)),
    'regnety_002': ({}, (24, 56, 152, 368)),
    'mobilenetv2_035': ({}, (8, 16, 32, 112)),
    'mobilenetv3_small_050': ({}, (8, 16, 24, 288)),
    'mobilenetv4_conv_small_035': ({}, (16, 24, 32, 336)),
    'lcnet_035': ({}, (24, 48, 88, 176)),
    'mnasnet_small': ({}, (16, 16, 32, 144)),
    'tinynet_e': ({}, (16, 24, 56, 160)),
    'efficientnet_lite0': ({}, (24, 40, 112, 320)),
    'test_efficientnet': ({}, (24, 32, 48, 64)),
    'hardcorenas_a': ({}, (24, 40, 112, 960)),
    'convnext_atto': (dict(dims=(8, 16, 24, 32), depths=(1, 1, 2, 2)), (8, 16, 24, 32)),
    'convnextv2_atto': (dict(dims=(8, 16, 24, 32), depths=(1, 1, 2, 2)), (8, 16, 24, 32)),
    'inception_next_atto': ({}, (40, 80, 160, 320)),
    'densenet121': (dict(growth_rate=4, block_config=(2, 2, 2, 2)), (16, 16, 16, 16)),
    'vgg11_bn': (dict(mlp_ratio=0.01), (128, 256, 512, 512)),
    'ghostnet_050': ({}, (12, 20, 56, 480)),
    'repghostnet_050': ({}, (12, 20, 56, 480)),
    'rexnet_100': (dict(width_mult=0.3), (23, 30, 50, 384)),
    'cs3darknet_s': ({}, (64, 128, 256, 512)),
    'cspnext_tiny': ({}, (48, 96, 192, 384)),
    'test_nfnet': ({}, (32, 64, 96, 128)),
    'test_byobnet': ({}, (32, 64, 128, 256)),
    'mobileone_s0': ({}, (48, 128, 256, 1024)),
    'repvit_m0_9': ({}, (48, 96, 192, 384)),
    'ese_vovnet19b_slim_dw': ({}, (112, 256, 384, 512)),
    'hgnetv2_b0': ({}, (64, 256, 512, 1024)),
    'dla46x_c': ({}, (64, 64, 128, 256)),
    'dpn48b': ({}, (144, 320, 512, 832)),
    'fasternet_t0': ({}, (40, 80, 160, 320)),
    'starnet_s050': ({}, (16, 32, 64, 128)),
    'edgenext_xx_small': ({}, (24, 48, 88, 168)),
}
LIGHT = ('vgg11_bn', 'dpn48b', 'legacy_seresnet18', 'mobileone_s0')  # trained with light branches


@pytest.fixture(scope='module')
def teacher() -> HSAKDTeacher:
    torch.manual_seed(1)
    backbone = dict(type='TimmBackbone', model_name='resnet18', num_classes=3, **NARROW)
    return HSAKDTeacher(backbone).eval().requires_grad_(False)


@pytest.fixture(scope='module', params=NETWORKS)
def student(request) -> HSAKD:
    torch.manual_seed(0)
    arguments, _ = NETWORKS[request.param]
    design = 'LightBranches' if request.param in LIGHT else 'TailBranches'
    student = HSAKD(
        dict(type='TimmBackbone', model_name=request.param, num_classes=3, **arguments), branches=dict(type=design)
    )
    student.name = request.param
    with torch.no_grad():
        for value in (*student.parameters(), *student.buffers()):
            if value.is_floating_point() and not value.any():  # what a forgotten one would hide
                value.copy_(torch.rand_like(value) / 4)
    return student


def test_forward_is_timms(student) -> None:
    arguments, channels = NETWORKS[student.name]
    net = student.backbone.eval()
    reference = timm.create_model(student.name, num_classes=3, **arguments).eval()
    reference.load_state_dict(net.state_dict(), strict=True)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(net(images), reference(images))
        taps = net.forward_taps(images)
        vector = net.pooled(taps[-1])
        assert torch.equal(net.classify(vector), reference(images))
        light = LightBranches(net, 12)(taps)
    assert vector.shape == (2, net.num_features)
    assert net.channels == channels == tuple(tap.shape[1] for tap in taps)
    assert net.strides == (4, 8, 16, 32) == tuple(64 // tap.shape[2] for tap in taps)
    assert [logits.shape for logits in light] == [(2, 12)] * 4


def test_branches_continue_the_stages(student) -> None:
    net = student.backbone
    for stage, channels in enumerate(net.channels):
        tail = net.build_tail(stage).eval()
        size = 2 ** (3 - stage)
        with torch.no_grad():
            out = tail(torch.randn(1, channels, size, size))
        assert out.shape == (1, net.tail_channels, 1, 1)
        assert any(weight.dim() == 4 for weight in tail.parameters())


def test_one_step_reaches_every_weight(student, teacher) -> None:
    student.train().attach_teacher(teacher)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.01)
    before = [weight.clone() for weight in student.parameters()]
    losses = student.loss(torch.randn(2, 3, 32, 32), torch.tensor([0, 2]))
    assert len([name for name in losses if name.startswith('loss_kl_branch')]) == 4
    sum(loss for name, loss in losses.items() if 'loss' in name).backward()
    # Of HGNet's scalar shifts some lie before a convolution and its BatchNorm, which undoes them.
    names = [
        name
        for name, weight in student.named_parameters()
        if weight.grad is None or not (weight.grad.any() or name.endswith('.lab.bias'))
    ]
    assert not names
    optimizer.step()
    assert not torch.equal(before[0], next(student.parameters()))  # the stem's


def test_export_and_strict_reload_give_equal_features(student, tmp_path) -> None:
    arguments, _ = NETWORKS[student.name]
    backbone = dict(type='TimmBackbone', model_name=student.name, num_classes=3, **arguments)
    model = dict(
        type='HSAKD', backbone=backbone, data_preprocessor=dict(type='ImagePreprocessor', mean=[1.0] * 3, std=[2.0] * 3)
    )
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(meta=dict(cfg=f'model = {model}', epoch=1), state_dict=student.state_dict()), path)
    weights = read_backbone(export_backbone(str(path), with_head=True).safetensors).state_dict
    fresh = TimmBackbone(student.name, num_classes=3, **arguments)
    fresh.load_state_dict(weights, strict=True)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        pairs = zip(fresh.eval().forward_taps(images), student.backbone.eval().forward_taps(images))
        assert all(torch.equal(*pair) for pair in pairs)
        assert torch.equal(fresh(images), student.backbone(images))
    classifier = fresh.timm.get_classifier()
    head = [name for name, module in fresh.named_modules() if module is classifier]
    assert is_head(f'{head[0]}.weight')  # so that an export without the head leaves it out


@pytest.mark.parametrize(
    'name, said',
    [
        ('test_vit', 'gives feature maps of one stride'),
        ('hrnet_w18_small', "parallel branches.*'transition1.1' does not take just what 'transition1.0' gave"),
        ('selecsls42', "'features' does not take just what 'stem' gave"),
        ('csatv2', "inside 'stem_dct'"),
        ('efficientvit_m0', 'does not compute the same as forward_head'),
    ],
)
def test_branches_that_copy_the_tail_need_a_chain(name, said) -> None:
    with pytest.raises(UserError, match=f'{said}.*LightBranches'):
        HSAKD(dict(type='TimmBackbone', model_name=name, num_classes=3))


class Chain(nn.Module):
    """What TimmBackbone asks of a timm network, with modules and work between them of one's choice."""

    def __init__(self, *layers: nn.Module, between=lambda features: features) -> None:
        super().__init__()
        self.layers, self.between, self.fc = nn.ModuleList(layers), between, nn.Linear(4, 3)

    def forward_features(self, features):
        for layer in self.layers:
            features = layer(self.between(features))
        return features

    def forward_head(self, features, pre_logits=False):
        vector = features.mean((2, 3))
        return vector if pre_logits else self.fc(vector)

    def get_classifier(self):
        return self.fc

    def forward(self, images):
        return self.forward_head(self.forward_features(images))


class InPlace(nn.Sequential):
    """A chain to the eye: what is added in place leaves the same tensor object."""

    def forward(self, features):
        features = self[0](features)
        features += 1
        return self[1](features)


def half(stride: int = 2) -> nn.Conv2d:
    return nn.Conv2d(4, 4, stride, stride)


STEM = nn.Conv2d(3, 4, 4, 4)


@pytest.mark.parametrize(
    'net, said',
    [
        (lambda: Chain(STEM, half(), half(), half(1)), r'no feature map at stride 32.*\[4, 8, 16\]'),
        (
            lambda: Chain(STEM, half(), half(), half(), between=torch.sin),
            "'layers.0' does not take just what the image gave",
        ),
        (lambda: Chain(STEM, InPlace(half(), half()), half()), 'does not compute the same as its modules'),
        (lambda: Chain(STEM, half(), nn.ReLU(inplace=True), half(), half()), None),
        (lambda: Chain(STEM, half(), half(), nn.Sequential(nn.ReLU(inplace=True), half())), 'overwrites a feature map'),
    ],
)
def test_what_counts_as_a_chain(net, said, monkeypatch) -> None:
    monkeypatch.setattr('timm.create_model', lambda *_, **__: net())
    if said is None:
        assert TimmBackbone('resnet18', num_classes=3).channels == (4, 4, 4, 4)
        return
    with pytest.raises(UserError, match=f'{said}.*has no forward_intermediates: choose another'):
        TimmBackbone('resnet18', num_classes=3)
