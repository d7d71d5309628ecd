"""Weights under another project's key and prefix: found if one reading fits, else listed with the option."""

import copy
import re

import pytest
import torch
from safetensors.torch import save_file

from hsakd_mm.checkpoints.export import export_backbone, extract_backbone
from hsakd_mm.checkpoints.loading import load_checkpoint, load_fitting
from hsakd_mm.checkpoints.pretrained import load_backbone
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation import LinearProbe
from hsakd_mm.models.backbones import TimmBackbone
from hsakd_mm.models.distillers.hsakd import HSAKDTeacher

NETWORK = dict(model_name='resnet18', num_classes=5, channels=(8, 8, 16, 16))


def weights(seed: int = 0, **changes) -> dict:
    torch.manual_seed(seed)
    return TimmBackbone(**{**NETWORK, **changes}).state_dict()


WEIGHTS = weights()
OTHER = weights(1)  # of the same architecture
TEACHER = weights(2, model_name='resnet34')


def under(prefix: str, tensors=WEIGHTS) -> dict:
    return {prefix + name: value for name, value in tensors.items()}


def compiled_inside() -> dict:
    return {re.sub(r'^(layer\d)\.', r'\1._orig_mod.', name): value for name, value in WEIGHTS.items()}


FOUND = {
    'DataParallel': (under('module.'), 'under `module.`'),
    'DataParallel of a wrapper': (dict(state_dict=under('module.backbone.'), epoch=3), 'under `module.backbone.`'),
    'RepDistiller': (dict(model=WEIGHTS, epoch=240, best_acc=torch.tensor(7.0)), 'in `model`'),
    'one more nesting': (dict(checkpoint=dict(model=under('module.'))), 'under `module.` in `checkpoint.model`'),
    'torch.compile': (under('_orig_mod.'), 'under `_orig_mod.`'),
    'both': (dict(net=under('module._orig_mod.')), 'under `module._orig_mod.` in `net`'),
    'compiled stages': (compiled_inside(), "without torch's wrappers in the names"),
    'Lightning': (dict(state_dict={**under('model.encoder.'), 'criterion.w': torch.ones(1)}), 'under `model.encoder.`'),
    'composer': (dict(state=dict(model=under('module.'), rank_zero_seed=3)), 'in `state.model`'),
    'averages': (dict(averaged={**under('module.'), 'n_averaged': torch.tensor(3)}), 'in `averaged`'),
    'MMRazor': (
        dict(state_dict={**under('architecture.backbone.'), **under('teacher.backbone.', TEACHER)}, meta=dict(epoch=1)),
        'under `architecture.backbone.`',
    ),
    'twice the same': (dict(net=WEIGHTS, ema=dict(copy=under('module.'))), 'in `net`'),
    'a name of its own': (dict(my_network=under('trunk.body.')), 'under `trunk.body.` in `my_network`'),
    'beside plain values': ({**under('module.'), 'epoch': 3, 'lr': 0.1}, 'under `module.`'),
    'MMPretrain': (dict(state_dict={**under('backbone.'), 'head.fc.weight': torch.ones(1)}, meta=dict(epoch=1)), None),
}


@pytest.fixture
def said(monkeypatch) -> list:
    lines: list = []
    monkeypatch.setattr('hsakd_mm.checkpoints.loading.print_log', lambda line, logger: lines.append(line))
    return lines


@pytest.mark.parametrize('name', FOUND)
def test_the_reading_that_fits_is_used_and_said(tmp_path, said, name) -> None:
    content, place = FOUND[name]
    torch.save(content, tmp_path / 'theirs.pth')
    backbone = TimmBackbone(**NETWORK)
    assert load_backbone(backbone, str(tmp_path / 'theirs.pth')) == len(WEIGHTS)
    own = backbone.state_dict()
    assert all(torch.equal(own[key], WEIGHTS[key]) for key in own)
    assert len(said) == (place is not None) and (not said or place in said[0])


@pytest.mark.parametrize('owner', ['', 'module.', 'architecture.'])
def test_a_classifier_of_mmpretrain_belongs_to_its_backbone(tmp_path, owner) -> None:
    """As a teacher: its classifier is in ``head.fc``."""
    moved = {re.sub(r'^fc\.', 'head.fc.', name): value for name, value in WEIGHTS.items()}
    state = {owner + (name if name.startswith('head') else f'backbone.{name}'): value for name, value in moved.items()}
    torch.save(dict(state_dict=state, meta=dict(mmpretrain_version='1.2.0')), tmp_path / 'theirs.pth')
    backbone = TimmBackbone(**NETWORK)
    load_backbone(backbone, str(tmp_path / 'theirs.pth'))
    assert torch.equal(backbone.fc.bias, WEIGHTS['fc.bias'])
    state.pop(f'{owner}head.fc.bias')
    torch.save(dict(state_dict=state, meta=dict(mmpretrain_version='1.2.0')), tmp_path / 'theirs.pth')
    with pytest.raises(UserError, match=r'2 missing: fc\.weight, fc\.bias'):
        load_backbone(backbone, str(tmp_path / 'theirs.pth'))


def clipped(tensors: dict, name: str) -> dict:
    return {**tensors, name: tensors[name][:1]}


REFUSED = {
    'student and teacher': (
        dict(student=under('module.backbone.'), teacher=under('backbone.', OTHER)),
        [
            "key='student' prefix='module.backbone.' with 128 of 128",
            "key='teacher' prefix='backbone.' with 128",
            '2 fit',
        ],
    ),
    'raw and averaged': (
        dict(state_dict=WEIGHTS, state_dict_ema=OTHER),
        ["key='state_dict' prefix=''", "key='state_dict_ema' prefix=''", '2 fit'],
    ),
    'MoCo': (
        dict(state_dict={**under('module.encoder_q.'), **under('module.encoder_k.', OTHER)}),
        ["prefix='module.encoder_q.'", "prefix='module.encoder_k.'"],
    ),
    'three': (
        dict(model=dict(a=WEIGHTS, b=OTHER), ema=under('net.', weights(3))),
        ["key='model.a'", "key='model.b'", "key='ema' prefix='net.'", '3 fit'],
    ),
    'two, and neither fits': (
        dict(student=under('module.', TEACHER), teacher=under('net.', weights(4, num_classes=3))),
        ["key='student' prefix='module.'", "key='teacher' prefix='net.'", 'of another shape: fc.weight'],
    ),
    'a part is missing': (
        dict(model={name: value for name, value in under('module.').items() if 'layer4' not in name}),
        ['under `module.` in `model`', 'missing: layer4.0.conv1.weight'],
    ),
    'another shape': (under('module.', clipped(WEIGHTS, 'conv1.weight')), ['under `module.`', 'conv1.weight (here [']),
    'deeper': (under('module.', TEACHER), ['under `module.`', 'left over: layer1.2.conv1.weight']),
    'a detector': (dict(state_dict={'rpn.w': torch.ones(1)}, optimizer=dict(state={})), ['128 tensors', 'rpn.w']),
}


@pytest.mark.parametrize('name', REFUSED)
def test_none_or_several_are_listed_and_nothing_is_loaded(tmp_path, name) -> None:
    content, words = REFUSED[name]
    path = tmp_path / 'theirs.pth'
    torch.save(content, path)
    backbone = TimmBackbone(**NETWORK)
    before = copy.deepcopy(backbone.state_dict())
    with pytest.raises(UserError) as error:
        load_backbone(backbone, str(path))
    for word in words:
        assert word in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


@pytest.mark.parametrize('metadata', [None, {'hsakd_mm': '{"method": "file"}'}])
@pytest.mark.parametrize('ending', ['.pth', '.safetensors'])
def test_the_format_of_a_file_does_not_choose(tmp_path, ending, metadata) -> None:
    """A .safetensors has a header in place of mmengine's ``meta``; two networks in it are two."""
    content, path = {**under('backbone.'), **under('teacher.', OTHER)}, str(tmp_path / f'theirs{ending}')
    if ending == '.pth':
        torch.save(content, path)
    else:
        save_file(content, path, metadata)
    with pytest.raises(UserError, match=r"2 fit it \(key='state_dict' prefix='teacher\.' .* prefix='backbone\.'"):
        load_backbone(TimmBackbone(**NETWORK), path)


def test_the_option_that_the_sentence_names_chooses(tmp_path, monkeypatch, capsys) -> None:
    """As a user would: the command in the sentence, with what its list says filled in."""
    path = tmp_path / 'dino.pth'
    torch.save(dict(student=under('module.backbone.'), teacher=under('backbone.', OTHER)), path)
    with pytest.raises(UserError) as error:
        load_backbone(TimmBackbone(**NETWORK), str(path))
    command = re.search(r'hsakd-mm export .+--out FILE', str(error.value))[0]
    key, prefix = re.search(r"key='(teacher)' prefix='(\S+)'", str(error.value)).groups()
    words = command.replace('KEY', key).replace('PREFIX', prefix).replace('FILE', str(tmp_path / 'part')).split()[2:]
    monkeypatch.setattr('sys.argv', ['export_backbone.py', *words])
    from hsakd_mm.commands import export_backbone as tool

    tool.main()
    assert 'input: not known' in capsys.readouterr().out
    backbone = TimmBackbone(**NETWORK)
    for file in ('part.pth', 'part.safetensors'):
        load_backbone(backbone, str(tmp_path / file))
        assert torch.equal(backbone.state_dict()['layer4.1.conv2.weight'], OTHER['layer4.1.conv2.weight'])
    with pytest.raises(UserError, match="are none: it has the keys 'student', 'teacher'"):
        extract_backbone(str(path), key='techer')


@pytest.mark.parametrize(
    'content, place',
    [
        (lambda whole: dict(state_dict=under('module.', whole)), 'under `module.`'),
        (lambda whole: dict(model=under('_orig_mod.', whole)), 'under `_orig_mod.` in `model`'),
        (lambda whole: dict(model=dict(ema=whole), step=3), 'in `model.ema`'),
    ],
)
def test_a_whole_model_with_branches(tmp_path, content, place) -> None:
    """A teacher, tools/test.py: nothing may be missing and nothing left over."""
    config = dict(type='TimmBackbone', **NETWORK)
    one, other = HSAKDTeacher(config), HSAKDTeacher(config)
    torch.save(content(one.state_dict()), tmp_path / 'theirs.pth')
    read = load_checkpoint(str(tmp_path / 'theirs.pth'))
    assert load_fitting(other, read, 'theirs.pth', 'teacher').place.strip() == place
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())
    broken = {key: value for key, value in one.state_dict().items() if key != 'branches.0.fc.weight'}
    torch.save(content(broken), tmp_path / 'theirs.pth')
    with pytest.raises(UserError, match='1 missing: branches'):
        load_fitting(other, load_checkpoint(str(tmp_path / 'theirs.pth')), 'theirs.pth', 'teacher')


@pytest.mark.parametrize(
    'content',
    [
        dict(state_dict=under('module.encoder.')),
        dict(model={name: value for name, value in under('backbone.').items() if '.fc.' not in name}),
        dict(student=dict(net=WEIGHTS)),
    ],
)
def test_a_probe_of_a_backbone_from_elsewhere(tmp_path, content) -> None:
    torch.save(content, tmp_path / 'theirs.pth')
    probe = LinearProbe(dict(type='TimmBackbone', **NETWORK), num_classes=3, checkpoint=str(tmp_path / 'theirs.pth'))
    probe.init_weights()
    assert torch.equal(probe.backbone.layer4[1].conv2.weight, WEIGHTS['layer4.1.conv2.weight'])


@pytest.mark.parametrize('content', [dict(model=WEIGHTS), under('module.'), dict(net=dict(ema=under('m.')))])
def test_export_says_how_to_go_on(tmp_path, content) -> None:
    torch.save(content, tmp_path / 'theirs.pth')
    with pytest.raises(UserError, match=r'training checkpoint was expected.*can be transferred as it is'):
        export_backbone(str(tmp_path / 'theirs.pth'))


@pytest.mark.parametrize('number, bad', [(float('nan'), 1), (float('inf'), 1), (-float('inf'), 3), (1e300, 2)])
def test_numbers_that_are_none_are_refused_by_name(tmp_path, number, bad) -> None:
    names = ['layer1.0.bn1.running_var', 'layer2.0.conv1.weight', 'fc.bias'][:bad]
    broken = {name: value.double().clone() if value.is_floating_point() else value for name, value in WEIGHTS.items()}
    for name in names:
        broken[name].view(-1)[0] = number
    torch.save(under('module.', broken), tmp_path / 'theirs.pth')
    with pytest.raises(UserError, match=rf'{bad} of its 128 tensors hold NaN or infinity \({", ".join(names)}\)'):
        load_backbone(TimmBackbone(**NETWORK), str(tmp_path / 'theirs.pth'))


def test_a_quantised_network_is_another(tmp_path) -> None:
    small = {name: value.to(torch.int8) if name.endswith('conv1.weight') else value for name, value in WEIGHTS.items()}
    torch.save(small, tmp_path / 'theirs.pth')
    with pytest.raises(UserError, match=r'conv1\.weight \(here torch.float32, in the file torch.int8'):
        load_backbone(TimmBackbone(**NETWORK), str(tmp_path / 'theirs.pth'))
