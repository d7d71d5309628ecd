"""Networks of timm that are no chain of modules: from build to export, as teacher and as student."""

from collections import Counter

import pytest
import timm
import torch

from hsakd_mm.checkpoints.backbone_file import is_head, read_backbone
from hsakd_mm.checkpoints.export import export_backbone
from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones import TimmBackbone
from hsakd_mm.models.backbones.intermediates import choose
from hsakd_mm.models.distillers.hsakd import HSAKD, HSAKDTeacher

SWIN = dict(img_size=64, window_size=2, depths=(1, 1, 1, 1), embed_dim=16, num_heads=(1, 1, 2, 2))
NETWORKS = {  # name: (arguments that make it small, strides, channels)
    'test_vit': ({}, (16,) * 4, (64,) * 4),  # takes any size
    'vit_tiny_patch16_224': (dict(img_size=64, embed_dim=24, depth=6), (16,) * 4, (24,) * 4),
    'vit_small_patch14_dinov2': (dict(img_size=56, embed_dim=24, depth=3), (14,) * 3, (24,) * 3),
    'vit_tiny_patch16_dinov3_qkvb': (dict(embed_dim=24, depth=4, num_heads=2), (16,) * 4, (24,) * 4),  # registers
    'deit_tiny_distilled_patch16_224': (dict(img_size=64, embed_dim=24, depth=4), (16,) * 4, (24,) * 4),
    'vit_base_patch16_siglip_224': (dict(img_size=64, embed_dim=24, depth=4, num_heads=2), (16,) * 4, (24,) * 4),
    'swin_tiny_patch4_window7_224': (SWIN, (4, 8, 16, 32), (16, 32, 64, 128)),
    'pvt_v2_b0': ({}, (4, 8, 16, 32), (32, 64, 160, 256)),
    'levit_128s': (dict(img_size=64), (16, 32, 64), (128, 256, 384)),  # two classifiers
    'crossvit_tiny_240': ({}, (12, 17), (96, 192)),  # the head reads a list
    'selecsls42': ({}, (4, 8, 16, 32), (128, 288, 480, 1024)),
}


def size_of(name: str) -> int:
    return 240 if name.endswith('240') else NETWORKS[name][0].get('img_size', 64)


def config(name: str) -> dict:
    return dict(type='TimmBackbone', model_name=name, num_classes=3, **NETWORKS[name][0])


@pytest.fixture(scope='module', params=NETWORKS)
def name(request) -> str:
    return request.param


def branched(method, name: str):
    torch.manual_seed(0)
    return method(config(name), branches=dict(type='LightBranches'))


def test_forward_is_timms(name) -> None:
    arguments, strides, channels = NETWORKS[name]
    torch.manual_seed(0)
    net = TimmBackbone(name, num_classes=3, **arguments).eval()
    reference = timm.create_model(name, num_classes=3, **arguments).eval()
    reference.load_state_dict(net.state_dict(), strict=True)
    images = torch.randn(2, 3, size_of(name), size_of(name))
    with torch.no_grad():
        assert torch.equal(net(images), reference(images))
        taps = net.forward_taps(images)
        if net.one_classifier:
            assert torch.equal(net.vector_and_logits(images)[1], net(images))
    assert (net.strides, net.channels) == (strides, channels)
    assert [tap.shape[:2] for tap in taps] == [(2, width) for width in channels]
    # Positions are kept: what is changed in one corner shows most in the same corner of the first map.
    images[:, :, : images.shape[2] // 2, : images.shape[3] // 2] += 1
    with torch.no_grad():
        change = (net.forward_taps(images)[0] - taps[0]).abs().mean((0, 1))
    assert divmod(int(change.argmax()), change.shape[1]) < (change.shape[0] / 2, change.shape[1])


@pytest.mark.parametrize('role', ['student', 'teacher'])
def test_one_step_reaches_every_weight(name, role) -> None:
    """Of a student by the teacher's outputs, of a teacher by labels."""
    model = branched(HSAKD if role == 'student' else HSAKDTeacher, name).train()
    if role == 'student':
        teacher = branched(HSAKDTeacher, name).eval().requires_grad_(False)
        with torch.no_grad():
            for weight in teacher.parameters():  # another network than the student
                weight.add_(torch.rand_like(weight) / 50)
        model.attach_teacher(teacher)
    losses = model.loss(torch.randn(2, 3, size_of(name), size_of(name)), torch.tensor([0, 2]))
    counts = Counter(key.rstrip('0123456789') for key in losses)
    assert counts['loss_kl_branch' if role == 'student' else 'loss_ce_branch'] == len(NETWORKS[name][1])
    sum(loss for key, loss in losses.items() if 'loss' in key).backward()
    names = [key for key, weight in model.named_parameters() if weight.grad is None]
    assert not names


def test_export_loads_into_plain_timm(name, tmp_path) -> None:
    arguments = NETWORKS[name][0]
    student = branched(HSAKD, name)
    model = dict(
        type='HSAKD',
        backbone=config(name),
        branches=dict(type='LightBranches'),
        data_preprocessor=dict(type='ImagePreprocessor', mean=[1.0] * 3, std=[2.0] * 3),
    )
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(meta=dict(cfg=f'model = {model}', epoch=1), state_dict=student.state_dict()), path)
    images = torch.randn(1, 3, size_of(name), size_of(name))
    student.eval()
    for with_head in (True, False):
        weights = read_backbone(export_backbone(str(path), with_head=with_head).safetensors).state_dict
        assert with_head == any(map(is_head, weights))
        plain = timm.create_model(name, num_classes=3 if with_head else 0, **arguments).eval()
        plain.load_state_dict(weights, strict=True)
        with torch.no_grad():
            ours, theirs = student.backbone.forward_intermediates(images)[0], plain.forward_features(images)
            pairs = zip(ours, theirs) if isinstance(ours, list | tuple) else [(ours, theirs)]
            assert all(torch.equal(*pair) for pair in pairs)
            if with_head:
                assert torch.equal(student.backbone(images), plain(images))


def test_a_size_that_the_network_does_not_take_is_named() -> None:
    net = TimmBackbone('vit_tiny_patch16_224', num_classes=3, img_size=64, embed_dim=24, depth=2)
    with pytest.raises(UserError, match=r'images of 96 x 96 pixels, and does not .* set img_size=\(96, 96\)'):
        net(torch.zeros(1, 3, 96, 96))


@pytest.mark.parametrize(
    'name, size',
    [
        ('levit_128s', 64),
        ('efficientformerv2_s0', 224),
        ('pit_ti_224', 64),
        ('gcvit_xxtiny', 64),
        ('maxvit_rmlp_pico_rw_256', 64),
    ],
)
def test_so_is_one_that_an_operator_of_the_network_does_not_take(name, size) -> None:
    """The last two are chains of modules."""
    given = {} if size == 224 else dict(img_size=size)
    net = TimmBackbone(name, num_classes=3, **given).eval()
    with pytest.raises(UserError, match=r'images of 96 x 96 pixels, and does not .* set img_size=\(96, 96\)'):
        net(torch.zeros(1, 3, 96, 96))


def test_other_failures_are_not_put_down_to_the_size() -> None:
    resnet = TimmBackbone('resnet18', num_classes=3, channels=(8, 8, 16, 16))
    with pytest.raises(RuntimeError, match='expected .* to have 3 channels'):
        resnet(torch.zeros(1, 4, 96, 96))
    vit = TimmBackbone('vit_tiny_patch16_224', num_classes=3, img_size=64, embed_dim=24, depth=2)
    with pytest.raises(RuntimeError, match='expected .* to have 3 channels'):
        vit(torch.zeros(1, 4, 64, 64))


def test_methods_that_need_one_classifier_say_so() -> None:
    assert [layer.out_features for layer, _ in branched(HSAKD, 'levit_128s').classifiers()[:2]] == [3, 3]
    with pytest.raises(UserError, match="'levit_128s' has several classifiers"):
        TimmBackbone('levit_128s', num_classes=3, img_size=64).vector_and_logits(torch.randn(2, 3, 64, 64))


@pytest.mark.parametrize(
    'strides, chosen',
    [
        ([2, 4, 8, 16, 32], (1, 2, 3, 4)),
        ([4, 8, 16], (0, 1, 2)),
        ([8, 8, 16, 32, 64], (1, 2, 3, 4)),
        ([16] * 12, (2, 5, 8, 11)),
        ([16] * 3, (0, 1, 2)),
        ([1, 2], (0, 1)),
        ([1, 2, 4, 8, 16, 32, 64], (2, 3, 4, 5)),
        ([2, 8, 16, 32, 64, 128], (2, 3, 4, 5)),
    ],
)
def test_which_maps_are_taps(strides, chosen) -> None:
    assert choose(strides) == chosen
