import copy

import pytest
import timm
import torch
import torchvision
from torch import nn

from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones import TimmBackbone
from hsakd_mm.models.branches import LightBranches, TailBranches
from hsakd_mm.models.distillers.plain import Classifier

NARROW = dict(num_classes=5, channels=(8, 16, 24, 32))


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
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}


@pytest.mark.parametrize(
    'name, kwargs, said',
    [
        ('resnet81', {}, 'did you mean resnet18'),
        ('xyzzy', {}, 'timm.list_models'),
        ('resnet18', dict(chanels=(8, 8, 8, 8)), "unexpected keyword argument 'chanels'; correct or"),
        ('lcnet_035', dict(zero_init_last=True), "argument 'zero_init_last'; correct or remove"),
        ('lcnetv2_small', dict(drop_rate=0.1), 'set drop_rate=0'),
        ('nf_resnet26', dict(pretrained=True), 'No pretrained weights exist.*pretrained=False'),
    ],
)
def test_refuses_in_a_sentence(name, kwargs, said) -> None:
    with pytest.raises(UserError, match=said):
        TimmBackbone(name, num_classes=10, **kwargs)


@pytest.mark.parametrize('name', ['resnet18', 'resnet50'])
@pytest.mark.parametrize('stage', range(4))
def test_fresh_tail_continues_a_stage(name, stage) -> None:
    net = TimmBackbone(name, num_classes=10, channels=(8, 16, 24, 32))
    taps = net.forward_taps(torch.randn(2, 3, 64, 64))
    out = net.build_tail(stage)(taps[stage])
    assert out.shape == taps[-1].shape  # the last one keeps the resolution: stride 1
    own = {id(parameter) for parameter in net.parameters()}
    tails = [net.build_tail(stage), net.build_tail(stage)]
    assert not own & {id(parameter) for parameter in tails[0].parameters()}
    first, second = (next(tail.parameters()) for tail in tails)
    assert not torch.equal(first, second)  # each branch starts on its own


def test_blocks_of_the_last_tail_differ() -> None:
    tail = TimmBackbone('resnet18', num_classes=10).build_tail(3)[0]
    assert not torch.equal(tail[0].conv1.weight, tail[1].conv1.weight)


def test_branch_keys_of_a_resnet() -> None:
    branches = TailBranches(TimmBackbone('resnet18', **NARROW), num_outputs=20)
    keys = {key.rpartition('.')[0] for key in branches.state_dict()}
    assert {'0.stages.0.1.conv2', '0.stages.2.0.downsample.0', '3.stages.0.1.bn1', '3.fc'} <= keys
    assert '3.stages.0.0.downsample.0' not in keys


@pytest.mark.parametrize(
    'name, kwargs',
    [
        ('resnet18', dict(channels=(8, 16, 24, 32))),
        ('mobilenetv3_small_050', {}),
        ('test_efficientnet', {}),
        ('convnext_atto', dict(dims=(8, 16, 24, 32), depths=(1, 1, 2, 2))),
        ('dla46x_c', {}),
        ('test_nfnet', {}),
    ],
)
def test_dropout_and_drop_path_are_timms(name, kwargs) -> None:
    drop = {} if name.startswith('dla') else dict(drop_path_rate=0.5)
    net = TimmBackbone(name, num_classes=5, drop_rate=0.5, **drop, **kwargs)
    reference = timm.create_model(name, num_classes=5, drop_rate=0.5, **drop, **kwargs)
    reference.load_state_dict(net.state_dict())
    images = torch.randn(4, 3, 64, 64)
    outputs = []
    for model in (net, reference, net):
        torch.manual_seed(len(outputs) // 2)
        outputs.append(model.train()(images))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])  # another seed drops something else
    assert torch.equal(net.eval()(images), net(images))


def test_building_disturbs_no_random_numbers() -> None:
    torch.manual_seed(0)
    timm.create_model('resnet18', zero_init_last=False, **NARROW)
    expected = torch.rand(3)
    torch.manual_seed(0)
    TimmBackbone('resnet18', drop_rate=0.5, **NARROW)
    assert torch.equal(torch.rand(3), expected)


def test_one_set_of_modules() -> None:
    net = TimmBackbone('resnet18', **NARROW)
    assert list(net.state_dict()) == list(timm.create_model('resnet18', **NARROW).state_dict())
    assert net.training and net.timm.training and not net.eval().timm.training
    twin = copy.deepcopy(net.train())
    assert twin.timm is not net.timm and twin.conv1 is twin.timm.conv1 is not net.conv1
    net.double()
    assert net.timm.conv1.weight.dtype == torch.float64
    assert twin.conv1.weight.dtype == torch.float32
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(twin)
    assert isinstance(synchronised.timm.bn1, nn.SyncBatchNorm)
    assert synchronised.eval()(torch.randn(1, 3, 64, 64)).shape == (1, 5)


def test_pretrained_weights_are_loaded(tmp_path) -> None:
    weights = TimmBackbone('resnet18', **NARROW).state_dict()
    torch.save(weights, tmp_path / 'net.pth')
    net = TimmBackbone(
        'resnet18',
        pretrained=True,
        **NARROW,
        pretrained_cfg_overlay=dict(file=str(tmp_path / 'net.pth'), num_classes=5),
    )
    assert all(torch.equal(value, weights[key]) for key, value in net.state_dict().items())
    assert not torch.equal(net.build_tail(0)[0][0].conv1.weight, net.layer2[0].conv1.weight)


def test_images_are_normalised_as_for_pretrained_weights(tmp_path) -> None:
    torch.save(TimmBackbone('resnet18', **NARROW).state_dict(), tmp_path / 'net.pth')
    overlay = dict(file=str(tmp_path / 'net.pth'), num_classes=5, mean=(0.5,) * 3, std=(0.5,) * 3)
    backbone = dict(type='TimmBackbone', model_name='resnet18', pretrained_cfg_overlay=overlay, **NARROW)
    half, other = (dict(type='ImagePreprocessor', mean=[mean] * 3, std=[127.5] * 3) for mean in (127.5, 120.0))
    Classifier(dict(backbone, pretrained=True), half).check_pretrained()
    Classifier(backbone, other).init_weights()
    with pytest.raises(UserError, match='pretrained=True was trained on images with mean .127.5, .*: set the data_pre'):
        Classifier(dict(backbone, pretrained=True), other).check_pretrained()


def test_weights_of_another_patch_size_do_not_fit() -> None:
    """timm's converter would resample them; position embeddings of another image size it may."""
    tiny = dict(model_name='vit_tiny_patch16_224', num_classes=3, embed_dim=24, depth=1, num_heads=2)
    weights = TimmBackbone(**tiny, img_size=64).state_dict()
    for prefix in ('', 'visual.trunk.'):  # OpenCLIP's, which the converter takes off
        theirs = {prefix + name: value for name, value in weights.items()}
        larger = TimmBackbone(**tiny, img_size=96)
        larger.load_state_dict(larger.adapt_state_dict(theirs))
        other = TimmBackbone(**tiny, img_size=64, patch_size=32)
        kept = other.adapt_state_dict(theirs)
        assert kept.keys() == theirs.keys() and all(value is theirs[name] for name, value in kept.items())


def test_takes_torchvisions_vgg() -> None:
    net = TimmBackbone('vgg11', num_classes=1000, mlp_ratio=0.01)
    with torch.device('meta'):
        theirs = torchvision.models.vgg11().state_dict()
    adapted = net.adapt_state_dict(theirs)
    assert adapted.keys() == net.state_dict().keys()
    assert adapted['pre_logits.fc1.weight'].shape == (4096, 512, 7, 7)


def test_takes_older_densenets_and_the_authors_convnext() -> None:
    net = TimmBackbone('densenet121', num_classes=5, growth_rate=4, block_config=(2, 2, 2, 2))
    own = net.state_dict()
    old = {
        key.replace('norm1.', 'norm.1.').replace('conv2.', 'conv.2.'): value
        for key, value in own.items()
        if 'num_batches_tracked' not in key
    }
    assert set(net.adapt_state_dict(old)) == {key for key in own if 'num_batches' not in key}
    net = TimmBackbone('convnext_atto', num_classes=5, dims=(8, 16, 24, 32), depths=(1, 1, 2, 2))
    names = {
        'stem.': 'downsample_layers.0.',
        'mlp.fc': 'pwconv',
        'conv_dw': 'dwconv',
        'head.norm': 'norm',
        'head.fc': 'head',
        '.blocks': '',
    }
    theirs = {}
    for key, value in net.state_dict().items():
        for ours, other in names.items():
            key = key.replace(ours, other)
        if '.downsample.' in key:
            key = key.replace('stages', 'downsample_layers').replace('.downsample', '')
        theirs[key] = value
    net.load_state_dict(net.adapt_state_dict(theirs), strict=True)


def test_weights_of_another_network_stay_as_they_are() -> None:
    weights = {'features.0.weight': torch.zeros(1)}
    for name, kwargs in (('resnet18', NARROW), ('convnext_atto', dict(num_classes=5))):
        net = TimmBackbone(name, **kwargs)
        assert net.adapt_state_dict(net.state_dict()).keys() == net.state_dict().keys()
        assert list(net.adapt_state_dict(weights)) == ['features.0.weight']


def test_a_stage_that_cannot_be_repeated(monkeypatch) -> None:
    net = TimmBackbone('test_efficientnet', num_classes=5)
    monkeypatch.setattr('hsakd_mm.models.backbones.timm_tails.remove_strides', lambda stage: stage)
    with pytest.raises(UserError, match='use branches=dict.type="LightBranches"'):
        net.build_tail(3)


class Strided:
    """All that light branches know of a backbone."""

    strides, channels = (1, 2, 4), (4, 8, 16)


def test_light_branches() -> None:
    branches = LightBranches(Strided(), num_outputs=12)
    taps = [torch.randn(2, channels, size, size) for channels, size in zip(Strided.channels, (32, 16, 8))]
    for branch, tap in zip(branches, taps):
        assert branch.stages(tap).shape == (2, 16, 8, 8)
    assert [len(branch.stages) for branch in branches] == [2, 1, 1]
    assert [logits.shape for logits in branches(taps)] == [(2, 12)] * 3
    convolutions = [module for module in branches.modules() if isinstance(module, nn.Conv2d)]
    assert all(conv.kernel_size == (1, 1) or conv.groups == conv.in_channels for conv in convolutions)
