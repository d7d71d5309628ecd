"""A frozen backbone of other classes, whose new classifier and branches learn the user's."""

import copy

import pytest
import torch

from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones import TimmBackbone
from hsakd_mm.models.distillers.hsakd import HSAKDTeacher
from hsakd_mm.models.distillers.plain import Classifier

RESNET = dict(type='TimmBackbone', model_name='resnet18', num_classes=3, channels=(8, 8, 16, 16))
CONVNEXT = dict(  # the norm in its head belongs to the features
    type='TimmBackbone', model_name='convnext_atto', num_classes=3, dims=(8, 16, 24, 32), depths=(1, 1, 1, 2)
)
CIFAR = dict(type='CifarResNet', depth=8, num_classes=3, width=(4, 4, 8, 8))
NETWORKS = {
    'resnet18': (RESNET, 'fc.'),
    'convnext': (CONVNEXT, 'head.fc.'),
    'a drop rate': (dict(RESNET, drop_rate=0.5, drop_path_rate=0.5), 'fc.'),
    'cifar': (CIFAR, 'fc.'),
}


def weights_of(network: dict, classes: int) -> dict:
    torch.manual_seed(classes)
    model = Classifier(dict(network, num_classes=classes)).train()
    model.backbone(torch.randn(4, 3, 64, 64))  # statistics that a forgotten buffer would show
    return model.backbone.state_dict()


def teacher_of(path, network: dict = RESNET, **options) -> HSAKDTeacher:
    teacher = HSAKDTeacher(
        network,
        branches=dict(type='LightBranches'),
        frozen_backbone=True,
        **{'new_head': True, 'checkpoint': str(path), **options},
    )
    teacher.init_weights()
    return teacher.train()


@pytest.mark.parametrize('name', NETWORKS)
def test_a_step_moves_head_and_branches_alone(tmp_path, name) -> None:
    network, head = NETWORKS[name]
    given = weights_of(network, 5)
    torch.save(given, tmp_path / 'five.pth')
    teacher = teacher_of(tmp_path / 'five.pth', network)
    before = copy.deepcopy(teacher.state_dict())
    optimizer = torch.optim.SGD(teacher.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    images, labels = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 0])
    first = None
    for _ in range(3):
        losses = teacher.loss(images, labels)
        first = first or losses
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert set(losses) == {'loss_ce', *(f'loss_ce_branch{depth}' for depth in range(1, len(teacher.branches) + 1))}
    assert losses['loss_ce'] < first['loss_ce']
    after = teacher.state_dict()
    for key, value in before.items():
        inside = key.removeprefix('backbone.')
        if key == inside or inside.startswith(head):
            assert not value.is_floating_point() or not torch.equal(value, after[key]), key
        else:
            assert torch.equal(value, after[key]) and torch.equal(value, given[inside]), key


def test_its_cross_entropy_is_that_of_unrotated_images(tmp_path) -> None:
    torch.save(weights_of(RESNET, 5), tmp_path / 'five.pth')
    teacher = teacher_of(tmp_path / 'five.pth')
    images, labels = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 0])
    expected = torch.nn.functional.cross_entropy(teacher.backbone(images), labels)
    torch.testing.assert_close(teacher.loss(images, labels)['loss_ce'], expected)
    without = HSAKDTeacher(RESNET, frozen_backbone=True, checkpoint='unused')
    assert 'loss_ce' not in without.loss(images, labels)


@pytest.mark.parametrize('classes', [3, 5, None])
@pytest.mark.parametrize('prefix', ['', 'backbone.', 'module.'])
def test_a_head_of_any_classes_or_none(tmp_path, classes, prefix) -> None:
    given = weights_of(RESNET, classes or 5)
    kept = {prefix + key: value for key, value in given.items() if classes or not key.startswith('fc.')}
    torch.save(dict(state_dict=kept), tmp_path / 'given.pth')
    torch.manual_seed(9)
    new = copy.deepcopy(HSAKDTeacher(RESNET, branches=dict(type='LightBranches')).backbone.fc.weight)
    torch.manual_seed(9)
    teacher = teacher_of(tmp_path / 'given.pth')
    assert torch.equal(teacher.backbone.fc.weight, new)
    assert torch.equal(teacher.backbone.layer4[1].bn2.running_var, given['layer4.1.bn2.running_var'])


@pytest.mark.parametrize(
    'change, words',
    [
        (lambda weights: weights.pop('layer4.1.conv2.weight'), '1 missing: layer4.1.conv2.weight'),
        (lambda weights: weights.update({'layer5.0.weight': torch.ones(1)}), '1 left over: layer5.0.weight'),
        (lambda weights: weights.update({'conv1.weight': torch.ones(8, 3, 3, 3)}), '1 of another shape: conv1.weight'),
        (lambda weights: weights['conv1.weight'].fill_(float('nan')), 'hold NaN'),
    ],
)
def test_all_else_has_to_fit(tmp_path, change, words) -> None:
    weights = weights_of(RESNET, 5)
    change(weights)
    torch.save(weights, tmp_path / 'bad.pth')
    with pytest.raises(UserError, match=words) as told:
        teacher_of(tmp_path / 'bad.pth')
    assert 'fc.' not in str(told.value)


def test_the_log_says_what_was_loaded(tmp_path, monkeypatch) -> None:
    said = []
    monkeypatch.setattr('hsakd_mm.models.distillers.hsakd.print_log', lambda text, *args: said.append(text))
    torch.save(weights_of(RESNET, 5), tmp_path / 'five.pth')
    teacher = teacher_of(tmp_path / 'five.pth')
    tensors = len(teacher.backbone.state_dict()) - 2
    assert len(said) == 1 and 'five.pth (SHA-256 ' in said[0] and f'{tensors} tensors' in said[0]
    assert 'left out of the file: fc.weight, fc.bias; random: fc.weight, fc.bias.' in said[0]


def test_where_only_the_head_misfits_the_way_out_is_named(tmp_path) -> None:
    torch.save(weights_of(RESNET, 5), tmp_path / 'five.pth')
    with pytest.raises(UserError, match='but for the classifier it fits: .* set model.new_head=True'):
        teacher_of(tmp_path / 'five.pth', new_head=False)
    joint = HSAKDTeacher(RESNET, checkpoint=str(tmp_path / 'five.pth'))
    with pytest.raises(UserError, match='but for the classifier it fits: .* set model.load_backbone_from'):
        joint.init_weights()


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(frozen_backbone=False), 'set model.load_backbone_from to them instead'),
        (dict(checkpoint=None), 'a frozen backbone needs trained weights'),
        (dict(load_backbone_from='other.pth'), 'starts from one place, .* with model.new_head=True'),
        (dict(load_backbone_from='other.pth', new_head=False, frozen_backbone=False), 'does not'),
    ],
)
def test_options_that_contradict_each_other(options, words) -> None:
    given = dict(dict(frozen_backbone=True, new_head=True, checkpoint='some.pth'), **options)
    with pytest.raises(UserError, match=words):
        HSAKDTeacher(RESNET, **given)


def test_images_have_to_be_normalised_as_the_weights_were_trained(tmp_path) -> None:
    trained, other = ([10.0, 20.0, 30.0], [40.0, 50.0, 60.0]), ([0.0] * 3, [1.0] * 3)
    cfg = f'model = dict(type="Classifier", data_preprocessor=dict(mean={trained[0]}, std={trained[1]}))'
    state = {f'backbone.{key}': value for key, value in weights_of(RESNET, 5).items()}
    torch.save(dict(state_dict=state, meta=dict(cfg=cfg)), tmp_path / 'five.pth')
    fits, differs = (dict(type='ImagePreprocessor', mean=mean, std=std) for mean, std in (trained, other))
    teacher_of(tmp_path / 'five.pth', data_preprocessor=fits)
    with pytest.raises(UserError, match='was trained on images with mean'):
        teacher_of(tmp_path / 'five.pth', data_preprocessor=differs)


def test_timms_names_of_other_libraries_are_converted(tmp_path) -> None:
    """Facebook's ConvNeXt: another name for every tensor, the head's among them."""
    import re

    own = weights_of(CONVNEXT, 5)

    def theirs(name: str) -> str:
        name = name.replace('head.fc.', 'head.').replace('head.norm.', 'norm.')
        name = re.sub(r'^stem\.(\d)', r'downsample_layers.0.\1', name)
        name = re.sub(r'stages\.(\d+)\.downsample\.(\d)', r'downsample_layers.\1.\2', name)
        name = re.sub(r'stages\.(\d+)\.blocks\.(\d+)', r'stages.\1.\2', name)
        for ours, other in (('conv_dw', 'dwconv'), ('mlp.fc1', 'pwconv1'), ('mlp.fc2', 'pwconv2')):
            name = name.replace(ours, other)
        return name

    torch.save(dict(model={theirs(name): value for name, value in own.items()}), tmp_path / 'theirs.pth')
    teacher = teacher_of(tmp_path / 'theirs.pth', CONVNEXT)
    loaded = teacher.backbone.state_dict()
    assert isinstance(teacher.backbone, TimmBackbone)
    assert all(torch.equal(loaded[name], value) for name, value in own.items() if 'head.fc' not in name)
