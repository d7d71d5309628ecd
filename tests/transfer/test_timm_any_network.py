"""Transformers and other networks that are no chain of modules as a detector's backbone."""

import copy

import pytest
import timm
import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import hsakd_mm  # noqa: F401
from hsakd_mm.checkpoints.export import export_backbone
from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones import TimmBackbone
from hsakd_mm.transfer import TimmDetBackbone
from tests.models.test_timm_intermediates import SWIN

VIT = dict(embed_dim=24, depth=4, num_heads=2)
NETWORKS = {  # name: (arguments that make it small, multiple, canvas, strides)
    'pvt_v2_b0': ({}, 1, None, (4, 8, 16, 32)),
    'swin_tiny_patch4_window7_224': ({k: v for k, v in SWIN.items() if k != 'img_size'}, 4, None, (4, 8, 16, 32)),
    'vit_tiny_patch16_224': (VIT, 16, None, (16,) * 4),
    'vit_small_patch14_dinov2': (VIT, 14, None, (14,) * 4),
    'vit_tiny_patch16_dinov3_qkvb': (VIT, 16, None, (16,) * 4),
    'beit_base_patch16_224': (dict(VIT, img_size=(128, 160)), 1, (128, 160), (16,) * 4),
    'test_coatnet': ({}, 1, (160, 160), (4, 8, 16, 32)),  # a chain of modules
    'levit_128s': (dict(img_size=128), 1, (128, 128), (16, 32, 64)),
}
SIZES = ((96, 128), (100, 118))  # the second is a multiple of nothing


def build(name: str, **kwargs) -> nn.Module:
    return MODELS.build(dict(NETWORKS[name][0], type='hsakd_mm.TimmDetBackbone', model_name=name, **kwargs))


@pytest.fixture(params=NETWORKS)
def name(request) -> str:
    return request.param


def loss_of(maps: tuple) -> Tensor:
    return sum(features.square().mean() for features in maps)


def step(net: nn.Module, size: tuple = SIZES[0]) -> None:
    torch.manual_seed(1)
    loss_of(net.train()(torch.randn(2, 3, *size))).backward()
    with torch.no_grad():
        for value in net.parameters():
            if value.grad is not None:
                value -= 0.1 * value.grad.sign()


def test_maps_of_images_that_are_not_square(name) -> None:
    _, multiple, canvas, strides = NETWORKS[name]
    net = build(name).eval()
    assert (net.image_sizes.multiple, net.image_sizes.canvas, net.strides) == (multiple, canvas, strides)
    for size in SIZES:
        with torch.no_grad():
            maps = net(torch.randn(2, 3, *size))
        assert isinstance(maps, tuple)
        for features, channels, stride in zip(maps, net.channels, strides):
            assert features.shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride))


def test_images_are_padded_with_zeros_right_and_below(name) -> None:
    _, multiple, canvas, _ = NETWORKS[name]
    net = build(name).eval()
    images = torch.randn(1, 3, *SIZES[1])
    target = canvas or [-(-side // multiple) * multiple for side in SIZES[1]]
    padded = torch.zeros(1, 3, *target)
    padded[:, :, : SIZES[1][0], : SIZES[1][1]] = images
    with torch.no_grad():
        for features, whole in zip(net(images), net(padded)):
            assert torch.equal(features, whole[:, :, : features.shape[2], : features.shape[3]])


@pytest.mark.parametrize('name', ['beit_base_patch16_224', 'test_coatnet'])
def test_an_image_larger_than_the_canvas_is_refused(name) -> None:
    with pytest.raises(
        UserError, match=r'and got 160 x 192: set img_size=\(H, W\) of the backbone to the largest size'
    ):
        build(name)(torch.zeros(1, 3, 160, 192))


def test_the_users_own_image_size_is_kept() -> None:
    net = build('vit_tiny_patch16_224', img_size=(64, 96))
    assert net.image_sizes.canvas == (64, 96) and net.timm.pos_embed.shape[1] == 1 + 4 * 6


def test_every_trained_parameter_takes_part(name) -> None:
    """DistributedDataParallel waits for the gradient of each."""
    for out_indices in (None, (0, 1)):
        net = build(name, out_indices=out_indices)
        step(net)
        trained = {key: value for key, value in net.named_parameters() if value.requires_grad}
        assert trained and all(value.grad is not None for value in trained.values())
    whole = build(name)
    assert set(net.state_dict()) | net.unused_keys == set(whole.state_dict()) | whole.unused_keys
    assert len(net.state_dict()) < len(whole.state_dict())


@pytest.mark.parametrize('stages', [0, 1, 2])
def test_frozen_stages_stay_and_the_others_move(name, stages) -> None:
    net = build(name, frozen_stages=stages, drop_path_rate=0.2)
    before = copy.deepcopy(net.state_dict())
    step(net)
    moved = {key for key, value in net.named_parameters() if not torch.equal(value, before[key])}
    frozen = {key for key, value in net.named_parameters() if not value.requires_grad}
    assert moved and frozen and not moved & frozen
    assert all((value.grad is None) == (key in frozen) for key, value in net.named_parameters())
    still = [module for module in net.modules() if not module.training]
    assert still and not any(value.requires_grad for module in still for value in module.parameters())
    statistics = {key for key, module in net.named_modules() if isinstance(module, _BatchNorm) and not module.training}
    assert all(
        torch.equal(net.state_dict()[f'{key}.running_mean'], before[f'{key}.running_mean']) for key in statistics
    )
    # The first map is computed from frozen weights alone; the others are not.
    with torch.no_grad():
        maps = net.eval()(torch.ones(1, 3, *SIZES[0]))
        net.load_state_dict(before)
        first = net(torch.ones(1, 3, *SIZES[0]))
    assert not torch.equal(maps[-1], first[-1])
    if stages and 'norm.weight' not in moved:  # a plain ViT's last norm follows each map
        assert torch.equal(maps[0], first[0])


def test_of_a_vit_a_quarter_of_the_blocks_is_a_stage() -> None:
    net = build('vit_tiny_patch16_224', frozen_stages=2)
    frozen = {'.'.join(key.split('.')[:2]) for key, value in net.named_parameters() if not value.requires_grad}
    assert frozen == {'cls_token', 'pos_embed', 'patch_embed.proj', 'blocks.0', 'blocks.1'}
    net.train()
    assert [block.training for block in net.blocks] == [False, False, True, True]
    assert not any(value.requires_grad for value in build('vit_tiny_patch16_224', frozen_stages=4).parameters())


@pytest.mark.parametrize('name', ['vit_tiny_patch16_224', 'swin_tiny_patch4_window7_224', 'beit_base_patch16_224'])
def test_checkpointing_changes_nothing_but_memory(name) -> None:
    gradients, saved = [], []
    plain = build(name, drop_path_rate=0.3)
    for with_cp in (False, True):
        net = build(name, drop_path_rate=0.3, with_cp=with_cp)
        net.load_state_dict(plain.state_dict())
        numbers = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda value: numbers.append(value.numel()) or value, lambda value: value
        ):
            torch.manual_seed(2)
            loss = loss_of(net.train()(torch.randn(2, 3, *SIZES[0])))
        loss.backward()
        saved.append(sum(numbers))
        gradients.append({key: value.grad for key, value in net.named_parameters()})
    assert saved[1] < 0.85 * saved[0]
    assert all(torch.equal(value, gradients[1][key]) for key, value in gradients[0].items())


def test_checkpointing_that_timm_does_not_have() -> None:
    with pytest.raises(
        UserError, match="timm does not do this for the feature maps of 'selecsls42': set with_cp=False"
    ):
        MODELS.build(dict(type='hsakd_mm.TimmDetBackbone', model_name='selecsls42', with_cp=True))


def test_drop_path_is_active_in_training_only() -> None:
    net = build('vit_tiny_patch16_224', drop_path_rate=0.5)
    images = torch.randn(4, 3, *SIZES[0])
    with torch.no_grad():
        one, other = (net.train()(images)[3] for _ in range(2))
        assert not torch.equal(one, other)
        assert torch.equal(net.eval()(images)[3], net(images)[3])


def exported(name: str, folder, **arguments) -> str:
    """The file that is exported from a training checkpoint of a network with other weights than a new one."""
    network = dict(type='TimmBackbone', model_name=name, num_classes=3, **arguments)
    net = TimmBackbone(**{key: value for key, value in network.items() if key != 'type'})
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) / 20)
    model = dict(
        type='HSAKD', backbone=network, data_preprocessor=dict(type='ImagePreprocessor', mean=[1.0] * 3, std=[2.0] * 3)
    )
    state_dict = {f'backbone.{key}': value for key, value in net.state_dict().items()}
    torch.save(dict(meta=dict(cfg=f'model = {model}', epoch=1), state_dict=state_dict), folder / 'epoch_1.pth')
    return export_backbone(str(folder / 'epoch_1.pth')).pth


@pytest.mark.parametrize(
    'name, size',
    [
        ('vit_tiny_patch16_224', 64),
        ('swin_tiny_patch4_window7_224', 64),
        ('swin_tiny_patch4_window7_224', None),
        ('beit_base_patch16_224', 64),
        ('pvt_v2_b0', None),
    ],
)
def test_an_exported_file_loads_strictly(name, size, tmp_path) -> None:
    """Into a network for images of the same size or of any."""
    given = dict(img_size=size) if size else {}
    arguments = {**NETWORKS[name][0], **given}
    file = exported(name, tmp_path, **arguments)
    net = build(name, init_cfg=dict(type='hsakd_mm.StrictPretrained', checkpoint=file), **given)
    net.init_weights()
    weights = torch.load(file)
    assert all(torch.equal(value, weights[key]) for key, value in net.state_dict().items())
    reference = timm.create_model(name, num_classes=0, **arguments).eval()
    reference.load_state_dict(weights)
    images = torch.randn(1, 3, size or 224, size or 224)
    with torch.no_grad():
        expected = reference.forward_intermediates(images, norm=len(set(net.strides)) == 1, intermediates_only=True)
        assert all(map(torch.equal, net.eval()(images), expected[-4:]))


@pytest.mark.parametrize('name', ['vit_tiny_patch16_224', 'beit_base_patch16_224', 'cait_xxs24_224'])
def test_positions_of_another_image_size_are_resampled(name, tmp_path, log) -> None:
    small = dict(VIT, depth_token_only=1) if 'cait' in name else VIT
    file = exported(name, tmp_path, **small, img_size=64)
    net = TimmDetBackbone(name, **small, img_size=(96, 128))
    key = 'blocks.0.attn.relative_position_bias_table' if 'beit' in name else 'pos_embed'
    net.init_cfg = dict(type='hsakd_mm.StrictPretrained', checkpoint=file)
    net.init_weights()
    weights, own = torch.load(file), net.state_dict()
    odd = {other for other, value in own.items() if value.shape != weights[other].shape}
    assert key in odd and all('pos_embed' in other or 'relative_position' in other for other in odd)
    assert all(torch.equal(value, weights[other]) for other, value in own.items() if other not in odd)
    assert own[key].std() > 0.01
    assert any(f"resampled for this network's image size: {key}" in line for line in log)


def test_what_cannot_be_resampled_is_refused(tmp_path) -> None:
    file = exported('levit_128s', tmp_path, img_size=64)
    net = build('levit_128s', init_cfg=dict(type='hsakd_mm.StrictPretrained', checkpoint=file))
    with pytest.raises(UserError, match='attention_biases .*cannot be resampled: leave out img_size'):
        net.init_weights()


def test_a_copy_shares_nothing_with_its_original(name) -> None:
    """mmengine's EMA hook averages a copy."""
    net = build(name).eval()
    images = torch.randn(1, 3, *SIZES[0])
    with torch.no_grad():
        before = net(images)
        twin = copy.deepcopy(net)
        for value in twin.parameters():
            value.zero_()
        assert all(map(torch.equal, before, net(images)))
        assert not torch.equal(twin(images)[-1], before[-1])
