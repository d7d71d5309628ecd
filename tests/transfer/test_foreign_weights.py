"""A detector from weights of other projects: found, and compared with what is trained."""

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.registry import DefaultScope

from hsakd_mm.errors import UserError
from hsakd_mm.transfer import BackboneCheckHook

pytest.importorskip('mmdet.models', reason='mmdet is not installed')
from mmdet.registry import MODELS

from tests.transfer.foreign import STRICT, FakeRunner, run, started, under, weights


@pytest.fixture(autouse=True)
def mmdet_scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.mark.parametrize(
    'content, options',
    [
        (lambda own: under('module.', own), dict(prefix='module.')),
        (lambda own: under('module.', own), dict(prefix='module')),
        (lambda own: under('module.', own), {}),
        (lambda own: dict(student=own, teacher=weights(1)), dict(key='student')),
        (lambda own: dict(student=own, teacher=weights(1)), dict(key='teacher')),
        (
            lambda own: dict(model=dict(ema=under('a.', own), raw=under('b.', weights(1)))),
            dict(key='model.ema', prefix='a.'),
        ),
        (lambda own: {**under('q.', own), **under('k.', weights(1))}, dict(prefix='q.')),
        (lambda own: {**own, 'layer4.9.extra': torch.ones(1)}, dict(without='layer4.9')),
    ],
)
def test_the_hook_knows_the_loaders_options(tmp_path, content, options) -> None:
    torch.save(content(weights()), tmp_path / 'a.pth')
    runner, hook = started(tmp_path / 'a.pth', **options)
    hook.before_train(runner)
    with torch.no_grad():
        runner.model.backbone.layer1[0].bn1.bias[0] += 1
    with pytest.raises(UserError, match=r'1 of the \d+ tensors .*layer1\.0\.bn1\.bias.*remove load_from'):
        hook.before_train(runner)


@pytest.mark.parametrize(
    'content, options',
    [
        (lambda own: own, {}),
        (lambda own: under('module.', own), {}),
        (lambda own: dict(model=under('module.backbone.', own)), {}),
        (lambda own: {**under('q.', own), **under('k.', weights(1, stem_channels=8))}, dict(prefix='q.')),
    ],
)
def test_a_c4_detectors_two_parts_are_read_alike(tmp_path, content, options) -> None:
    torch.save(content(weights(stem_channels=8)), tmp_path / 'a.pth')
    init_cfg = dict(type=STRICT, checkpoint=str(tmp_path / 'a.pth'), **options)
    stages = dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,))
    backbone = dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, **stages)
    runner = FakeRunner(MODELS.build(dict(backbone, init_cfg=dict(init_cfg, without='layer4.'))))
    runner.model.roi_head = torch.nn.Module()
    whole = MODELS.build(dict(type='ResNet', depth=18, base_channels=8, stem_channels=8))
    runner.model.roi_head.shared_head = Stage(whole.layer4, dict(init_cfg, only='layer4.'))
    for part in (runner.model.backbone, runner.model.roi_head.shared_head):
        part.init_weights()
    hook = BackboneCheckHook(str(tmp_path / 'a.pth'))
    hook.before_train(runner)
    with torch.no_grad():
        runner.model.roi_head.shared_head.layer4[1].bn2.bias[0] += 1
    with pytest.raises(UserError, match=r'1 of the 120 tensors .*layer4\.1\.bn2\.bias'):
        hook.before_train(runner)


class Stage(BaseModule):
    """A last stage in a detector's head, as MMDetection's ResLayer has it."""

    def __init__(self, layer4, init_cfg) -> None:
        super().__init__(init_cfg)
        self.layer4 = layer4


def channels_last(value):
    return value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value


def every_second(value):
    return value.repeat_interleave(2, -1)[..., ::2] if value.dim() else value


FORMATS = {
    'float64': lambda value: value.double(),
    'float16': lambda value: value.half(),
    'bfloat16': lambda value: value.bfloat16(),
    'not contiguous': every_second,
    'channels_last': channels_last,
    'with gradients': lambda value: torch.nn.Parameter(value) if value.is_floating_point() else value,
}


@pytest.mark.parametrize('name', FORMATS)
def test_the_hook_compares_in_the_modules_number_format(tmp_path, name) -> None:
    file = {key: FORMATS[name](value) if value.is_floating_point() else value for key, value in weights().items()}
    torch.save(file, tmp_path / 'a.pth')
    runner, hook = started(tmp_path / 'a.pth')
    hook.before_train(runner)
    other, _ = started(tmp_path / 'a.pth')
    other.model.backbone.load_state_dict(weights(1))  # as load_from does
    with pytest.raises(UserError, match='overwritten after loading; remove load_from'):
        hook.before_train(other)


def test_the_hook_with_tensors_that_share_memory_and_a_model_in_another_format(tmp_path) -> None:
    own = weights()
    own['layer1.0.bn2.weight'] = own['layer1.0.bn1.weight']
    torch.save(own, tmp_path / 'a.pth')
    runner, hook = started(tmp_path / 'a.pth')
    hook.before_train(runner)
    runner.model.backbone.to(memory_format=torch.channels_last)
    hook.before_train(runner)
    runner.model.backbone.double()
    hook.before_train(runner)


@pytest.mark.parametrize(
    'number, names',
    [
        (float('nan'), ['conv1.weight']),
        (float('inf'), ['bn1.running_var', 'layer3.0.conv1.weight']),
        (1e39, ['layer4.1.bn2.weight']),
    ],
)
def test_not_a_number_is_said_before_anything_is_loaded(tmp_path, number, names) -> None:
    own = {key: value.double() for key, value in weights().items() if not key.endswith('tracked')}
    for name in names:
        own[name].view(-1)[-1] = number
    torch.save(own, tmp_path / 'a.pth')
    said = rf'{len(names)} of its 100 tensors hold NaN or infinity \({", ".join(names)}\)'
    with pytest.raises(UserError, match=said):
        started(tmp_path / 'a.pth')
    backbone = MODELS.build(dict(type='ResNet', depth=18, base_channels=8))
    with pytest.raises(UserError, match=said):
        BackboneCheckHook(str(tmp_path / 'a.pth')).before_train(FakeRunner(backbone))


@pytest.mark.parametrize(
    'content',
    [
        lambda own: dict(state_dict={**under('module.backbone.', own), 'module.head.fc.weight': torch.ones(1)}),
        lambda own: dict(model=own, epoch=3),
        lambda own: under('_orig_mod.', {**own, 'fc.weight': torch.ones(1)}),
        lambda own: dict(state_dict={**under('backbone.', own), 'head.fc.weight': torch.ones(1)}),
        lambda own: dict(net=dict(state_dict=under('encoder.', {**own, 'projector.0.weight': torch.ones(1)}))),
    ],
)
def test_a_detector_run_starts_from_it(tmp_path, content) -> None:
    torch.save(content(weights()), tmp_path / 'a.pth')
    made = run(tmp_path / 'a.pth', tmp_path)
    assert made.parameters == sum(value.numel() for value in made_backbone().parameters())


def made_backbone():
    return MODELS.build(dict(type='ResNet', depth=18, base_channels=8))


@pytest.mark.parametrize('wanted', [dict(key='teacher', prefix='backbone.'), dict(key='student'), dict(prefix='net.')])
def test_cfg_options_choose_a_reading_as_the_sentence_says(tmp_path, wanted) -> None:
    content = dict(student=under('net.', weights()), teacher=under('backbone.', weights(1)))
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(UserError, match=r'2 fit it .*model\.backbone\.init_cfg\.key=KEY .*init_cfg\.prefix=PREFIX'):
        run(tmp_path / 'a.pth', tmp_path)
    options = {f'model.backbone.init_cfg.{name}': value for name, value in wanted.items()}
    cfg = run(tmp_path / 'a.pth', tmp_path, **options).cfg
    backbone = MODELS.build(cfg.model.backbone)
    backbone.init_weights()
    first = weights(1 if wanted.get('key') == 'teacher' else 0)['conv1.weight']
    assert torch.equal(backbone.conv1.weight, first)
    hook = dict(next(hook for hook in cfg.custom_hooks if hook['type'].endswith('BackboneCheckHook')))
    hook.pop('type')
    BackboneCheckHook(**hook).before_train(FakeRunner(backbone))
