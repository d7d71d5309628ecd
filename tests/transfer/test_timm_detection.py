"""A timm CNN that is a chain of modules as a detector's backbone: its maps, what is frozen, what is recomputed."""

import pytest
import timm
import torch
from mmengine.registry import MODELS
from mmengine.runner import runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import hsakd_mm  # noqa: F401
from hsakd_mm.checkpoints.export import export_backbone
from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones import TimmBackbone
from tests.trained_backbones import NARROW

NETWORKS = {  # name: (arguments that make it small, tensors that detection does not use)
    'resnet18': (dict(channels=NARROW), 0),
    'mobilenetv3_small_050': ({}, 2),  # conv_head
    'regnetx_002': ({}, 0),
    'test_efficientnet': ({}, 6),  # conv_head, bn2
    'convnext_atto': (dict(dims=(8, 16, 24, 32), depths=(1, 1, 2, 2)), 2),  # head.norm
}


def build(name: str, **kwargs) -> nn.Module:
    return MODELS.build(dict(NETWORKS[name][0], type='hsakd_mm.TimmDetBackbone', model_name=name, **kwargs))


@pytest.fixture(scope='module')
def files(tmp_path_factory) -> dict:
    """By name, the file that is exported from a training checkpoint."""
    torch.manual_seed(0)
    made = {}
    for name, (arguments, _) in NETWORKS.items():
        network = dict(type='TimmBackbone', model_name=name, num_classes=3, **arguments)
        net = TimmBackbone(**{key: value for key, value in network.items() if key != 'type'})
        with torch.no_grad():  # statistics and layer scales that would hide a forgotten one
            for value in (*net.parameters(), *net.buffers()):
                if value.is_floating_point() and value.dim() == 1:
                    value.copy_(torch.rand_like(value) + 0.5)
        model = dict(
            type='HSAKD',
            backbone=network,
            data_preprocessor=dict(type='ImagePreprocessor', mean=[1.0] * 3, std=[2.0] * 3),
        )
        path = tmp_path_factory.mktemp(name) / 'epoch_1.pth'
        state_dict = {f'backbone.{key}': value for key, value in net.state_dict().items()}
        torch.save(dict(meta=dict(cfg=f'model = {model}', epoch=1), state_dict=state_dict), path)
        made[name] = export_backbone(str(path)).pth
    return made


@pytest.fixture(params=NETWORKS)
def name(request) -> str:
    return request.param


def load(name: str, files: dict, **kwargs) -> nn.Module:
    init_cfg = dict(type='hsakd_mm.StrictPretrained', checkpoint=files[name])
    net = build(name, init_cfg=init_cfg, **kwargs)
    net.init_weights()
    return net


def test_maps_are_those_of_timm_with_the_exported_weights(name, files) -> None:
    net = load(name, files).eval()
    weights, own = torch.load(files[name]), net.state_dict()
    assert all(torch.equal(own[key], weights[key]) for key in own)
    assert len(weights) - len(own) == NETWORKS[name][1]
    reference = timm.create_model(name, features_only=True, **NETWORKS[name][0])
    indices = [index for index, stride in enumerate(reference.feature_info.reduction()) if stride >= 4]
    # Where timm flattens a network, a dot of its keys becomes an underscore.
    theirs = {key.replace('.', '_'): key for key in reference.state_dict()}
    reference.load_state_dict({theirs[key.replace('.', '_')]: own[key] for key in own})
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        maps, expected = net(images), reference.eval()(images)
    assert isinstance(maps, tuple) and len(maps) == 4
    for ours, index, channels, stride in zip(maps, indices, net.channels, net.strides):
        assert torch.equal(ours, expected[index])
        assert ours.shape == (2, channels, 64 // stride, 96 // stride)


def test_every_weight_that_is_kept_takes_part(name, files) -> None:
    whole = load(name, files).eval()
    net = load(name, files, out_indices=[0, 2])
    assert net.channels == (whole.channels[0], whole.channels[2]) and net.strides == (4, 16)
    assert set(net.state_dict()) < set(whole.state_dict())
    images = torch.randn(2, 3, 64, 64)
    maps = net.eval()(images)
    assert all(map(torch.equal, maps, whole(images)[::2]))
    sum(features.square().mean() for features in net.train()(images)).backward()
    assert not [key for key, value in net.named_parameters() if value.grad is None]


def frozen(net: nn.Module) -> tuple:
    """Parameters without gradient, and norms in eval mode."""
    return (
        {key for key, value in net.named_parameters() if not value.requires_grad},
        {key for key, module in net.named_modules() if isinstance(module, _BatchNorm) and not module.training},
    )


@pytest.mark.parametrize('norm_eval', [False, True])
@pytest.mark.parametrize('stages', [-1, 0, 1, 3, 4])
def test_freezes_what_mmdets_resnet_freezes(stages, norm_eval) -> None:
    models = pytest.importorskip('mmdet.models', reason='mmdet is not installed')
    arguments = dict(frozen_stages=stages, norm_eval=norm_eval)
    theirs = models.ResNet(18, stem_channels=64, base_channels=8, **arguments)
    ours = build('resnet18', **arguments)
    assert frozen(ours)[0] == frozen(theirs)[0]  # the optimizer is built before train() is called
    for net in (ours, theirs):
        net.eval()
        net.train()
    assert frozen(ours) == frozen(theirs)


def test_freezes_stem_and_stages_of_any_network(name) -> None:
    stem = frozen(build(name, frozen_stages=0))[0]
    assert stem and {key.split('.')[0] for key in stem} <= {'conv1', 'conv_stem', 'bn1', 'stem'}
    sizes = [len(frozen(build(name, frozen_stages=stages))[0]) for stages in range(-1, 5)]
    assert sizes[0] == 0 and sizes == sorted(set(sizes))
    net = build(name, frozen_stages=4)
    assert sizes[-1] == len(list(net.parameters()))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    net.train()(torch.randn(2, 3, 64, 64))
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize('frozen_stages', [-1, 1])
def test_checkpointing_changes_nothing_but_memory(name, files, frozen_stages) -> None:
    images, steps = torch.randn(2, 3, 64, 64), []
    for with_cp in (False, True):
        net = load(name, files, frozen_stages=frozen_stages, with_cp=with_cp, drop_path_rate=0.3)
        torch.manual_seed(1)  # blocks are dropped, the same ones when they are run again
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda value: saved.append(value.numel()) or value, lambda value: value
        ):
            loss = sum(features.square().mean() for features in net.train()(images))
        loss.backward()
        steps.append((sum(saved), {key: value.grad for key, value in net.named_parameters()}, net.state_dict()))
    (plain, grads, state), (less, other_grads, other_state) = steps
    assert less < 0.85 * plain  # the stem, which is kept, is wide in this ResNet
    for key, grad in grads.items():
        assert grad is other_grads[key] is None or torch.equal(grad, other_grads[key]), key
    assert all(torch.equal(value, other_state[key]) for key, value in state.items())


def test_checkpointing_rests_while_measuring(files) -> None:
    net = load('resnet18', files, with_cp=True).eval()
    assert torch.equal(net(torch.ones(1, 3, 64, 64))[3], load('resnet18', files).eval()(torch.ones(1, 3, 64, 64))[3])


def test_memory_format_and_sync_bn(name, files) -> None:
    net = load(name, files, frozen_stages=1, norm_eval=True)
    images, keys = torch.randn(2, 3, 64, 64), list(net.state_dict())
    still = frozen(net.train())
    expected = net.eval()(images)
    net = runner.convert_sync_batchnorm(net, 'torch').to(memory_format=torch.channels_last)
    maps = net(images.contiguous(memory_format=torch.channels_last))
    assert list(net.state_dict()) == keys and frozen(net.train()) == still
    for ours, before in zip(maps, expected):
        torch.testing.assert_close(ours, before, rtol=1e-4, atol=1e-4)
        assert ours.is_contiguous(memory_format=torch.channels_last)


def test_timms_own_weights_by_name(monkeypatch) -> None:
    create, asked = timm.create_model, []

    def offline(name, pretrained=False, **kwargs):
        asked.append(pretrained)
        return create(name, **kwargs)

    monkeypatch.setattr('timm.create_model', offline)
    net = build(
        'mobilenetv3_small_050',
        init_cfg=dict(type='hsakd_mm.StrictPretrained', checkpoint='timm://mobilenetv3_small_050.lamb_in1k'),
    )
    assert not any(asked)  # nothing is fetched by building it
    net.init_weights()
    assert asked[-1] is True


@pytest.mark.parametrize(
    'kwargs, said',
    [
        (dict(out_indices=(0, 4)), r'stages 0 to 3, .* are \(0, 4\)'),
        (dict(out_indices=(-1,)), 'stages 0 to 3'),
        (dict(out_indices=(2, 1)), 'ascending'),
        (dict(out_indices=()), r'are \(\)'),
        (dict(out_indices=3), 'are 3'),
        (dict(frozen_stages=5), r'up to 4 .*is 5'),
        (dict(out_indices=(0, 1), frozen_stages=3), r'up to 2 .*is 3'),
        (dict(pretrained=True), 'checkpoint=.timm://resnet18.'),
        (dict(num_classes=10), 'given num_classes=10'),
        (dict(widht=2), 'widht'),
    ],
)
def test_refuses_what_is_not_there(kwargs, said) -> None:
    with pytest.raises(UserError, match=said):
        build('resnet18', **kwargs)
