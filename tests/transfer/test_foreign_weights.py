"""A detector from weights of other projects: found, compared with what is trained, in their channel order."""

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from hsakd_mm.checkpoints.backbone_file import read_backbone
from hsakd_mm.checkpoints.export import export_backbone
from hsakd_mm.checkpoints.source import resolve_source
from hsakd_mm.errors import UserError
from hsakd_mm.experiments.detector_run import DetectorRun
from hsakd_mm.transfer import BackboneCheckHook
from hsakd_mm.transfer.detector import check_fit, start_from
from tests.conftest import REPO

pytest.importorskip('mmdet.models', reason='mmdet is not installed')
from mmdet.registry import MODELS

DEMO = str(REPO / 'configs' / 'demo' / 'faster_rcnn.py')
NARROW = {
    'model.backbone.base_channels': 8,
    'model.backbone.stem_channels': 8,
    'model.neck.in_channels': [8, 16, 32, 64],
}
STRICT = 'hsakd_mm.StrictPretrained'


@pytest.fixture(autouse=True)
def mmdet_scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def weights(seed: int = 0) -> dict:
    """Of MMDetection's narrow ResNet-18, as of MMPretrain's, Caffe's or MoCo's."""
    torch.manual_seed(seed)
    return MODELS.build(dict(type='ResNet', depth=18, base_channels=8)).state_dict()


def under(prefix: str, tensors: dict) -> dict:
    return {prefix + name: value for name, value in tensors.items()}


class FakeRunner:
    iter = 0

    def __init__(self, backbone, preprocessor: dict | None = None) -> None:
        self.model = torch.nn.Module()
        self.model.backbone = backbone
        if preprocessor:
            self.model.data_preprocessor = MODELS.build(dict(type='DetDataPreprocessor', **preprocessor))


def started(path, hook_options: dict | None = None, backbone: dict | None = None, **options):
    """A backbone that StrictPretrained loaded, and the hook that compares it."""
    init_cfg = dict(type=STRICT, checkpoint=str(path), **options)
    cfg = dict(dict(type='ResNet', depth=18, base_channels=8), **(backbone or {}))
    model = MODELS.build(dict(cfg, init_cfg=init_cfg))
    model.init_weights()
    return FakeRunner(model), BackboneCheckHook(str(path), **(hook_options or {}))


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


def run(checkpoint, tmp_path, **options) -> DetectorRun:
    made = DetectorRun(str(checkpoint), DEMO, work_dir=str(tmp_path / 'run'), options={**NARROW, **options})
    made.check_fit()
    return made


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


def mmlab(model: str, extra: str = '') -> dict:
    """A checkpoint as MMPretrain, MMDetection and MMClassification write it."""
    cfg = (
        f"model = dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18, base_channels=8){model})\n{extra}"
    )
    state = {**under('backbone.', weights()), 'head.fc.weight': torch.ones(1), 'neck.w': torch.ones(1)}
    return dict(meta=dict(cfg=cfg, epoch=100), state_dict=state)


CAFFE = 'mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0]'
IMAGENET = 'mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]'
ORDERS = {
    'MMPretrain': (
        mmlab('', f"default_scope = 'mmpretrain'\ndata_preprocessor = dict({IMAGENET}, to_rgb=True)"),
        'RGB',
    ),
    'MMPretrain of BGR': (mmlab('', f"default_scope = 'mmpretrain'\ndata_preprocessor = dict({CAFFE})"), 'BGR'),
    'MMPretrain, in the model': (
        mmlab(f", data_preprocessor=dict(type='SelfSupDataPreprocessor', {CAFFE}, to_rgb=False)"),
        'BGR',
    ),
    'MMDetection': (mmlab(f", data_preprocessor=dict(type='DetDataPreprocessor', {IMAGENET}, bgr_to_rgb=True)"), 'RGB'),
    'Caffe': (mmlab(f", data_preprocessor=dict(type='DetDataPreprocessor', {CAFFE}, bgr_to_rgb=False)"), 'BGR'),
    'by default': (mmlab(f", data_preprocessor=dict(type='mmdet.DetDataPreprocessor', {CAFFE})"), 'BGR'),
    # Both flags of mmengine's preprocessor swap, and OpenCV gives it BGR.
    'the other flag': (mmlab(f", data_preprocessor=dict(type='DetDataPreprocessor', {CAFFE}, rgb_to_bgr=True)"), 'RGB'),
    'MMClassification': (mmlab('', f'img_norm_cfg = dict({IMAGENET}, to_rgb=True)\ngpu_ids = range(0, 8)'), 'RGB'),
    'MMDetection 2': (
        mmlab(
            '', f"data = dict(train=dict(pipeline=[dict(type='Flip'), dict(type='Normalize', {CAFFE}, to_rgb=False)]))"
        ),
        'BGR',
    ),
    'ours': (mmlab(f", data_preprocessor=dict(type='ImagePreprocessor', {IMAGENET})"), 'RGB'),
    'ours, in full': (
        mmlab(f", data_preprocessor=dict(type='hsakd_mm.ImagePreprocessor', {IMAGENET})", "default_scope = 'hsakd_mm'"),
        'RGB',
    ),
}


@pytest.mark.parametrize('name', ORDERS)
def test_the_export_says_the_channel_order_and_the_detector_feeds_it(tmp_path, name) -> None:
    content, order = ORDERS[name]
    torch.save(content, tmp_path / 'epoch_100.pth')
    export = export_backbone(str(tmp_path / 'epoch_100.pth'))
    file, norm = export.pth, read_backbone(export.pth).normalisation
    assert norm == read_backbone(export.safetensors).normalisation
    mean = [float(number) for number in re.search(r'mean=\[(.+?)\]', content['meta']['cfg'])[1].split(',')]
    assert (norm['channel_order'], norm['mean']) == (order, mean)  # in the order of the channels

    cfg = Config.fromfile(DEMO)
    start_from(cfg, resolve_source(file))
    preprocessor = cfg.model.data_preprocessor
    assert (preprocessor.bgr_to_rgb, preprocessor.rgb_to_bgr, preprocessor.mean) == (order == 'RGB', False, mean)
    backbone = started(file)[0].model.backbone
    own = dict(mean=preprocessor.mean, std=preprocessor.std)
    BackboneCheckHook(file).before_train(FakeRunner(backbone, dict(own, bgr_to_rgb=order == 'RGB')))
    with pytest.raises(UserError, match=f'was trained on {order} with mean .*bgr_to_rgb={order == "RGB"}'):
        BackboneCheckHook(file).before_train(FakeRunner(backbone, dict(own, bgr_to_rgb=order != 'RGB')))


def test_a_checkpoint_of_mmpretrain_is_transferred(tmp_path) -> None:
    """As bash tools/transfer_det.sh FILE CONFIG does, with the checkpoint itself and not an export."""
    torch.save(ORDERS['MMPretrain'][0], tmp_path / 'resnet18_8xb32_in1k.pth')
    made = run(tmp_path / 'resnet18_8xb32_in1k.pth', tmp_path)
    assert any('RGB 0..255, mean [123.675, 116.28, 103.53]' in note and 'from the file' in note for note in made.notes)
    assert made.name == 'ImageClassifier'
    bare = {**under('backbone.', weights()), 'head.fc.bias': torch.ones(1)}  # as MMClassification published many
    torch.save(dict(state_dict=bare, meta=dict(mmcls_version='0.2')), tmp_path / 'bare.pth')
    made = run(tmp_path / 'bare.pth', tmp_path)
    assert any("torchvision's for ImageNet" in note for note in made.notes)


@pytest.mark.parametrize(
    'type_, keys, place',
    [
        ('hsakd_mm.TimmDetBackbone', dict(model_name='resnet18'), 'the model'),
        ('ResNet', dict(depth=18), 'beside it'),
        ('ResNet', dict(depth=18), 'nowhere'),
    ],
)
def test_bgr_weights_in_any_detector(tmp_path, type_, keys, place) -> None:
    torch.manual_seed(0)
    cfg = Config.fromfile(REPO / 'configs' / 'transfer' / 'faster-rcnn_r18_fpn_1x_coco.py')
    cfg.model.backbone = dict(type=type_, out_indices=(0, 1, 2, 3), **keys)
    content = dict(ORDERS['Caffe'][0])
    content['state_dict'] = under('backbone.', MODELS.build(cfg.model.backbone).state_dict())
    torch.save(content, tmp_path / 'caffe.pth')
    preprocessor = cfg.model.pop('data_preprocessor')
    if place != 'nowhere':
        (cfg.model if place == 'the model' else cfg).data_preprocessor = preprocessor
    source = resolve_source(str(tmp_path / 'caffe.pth'))
    assert 'BGR 0..255, mean [103.53, 116.28, 123.675]' in start_from(cfg, source)[-1]
    owner = cfg if place == 'beside it' else cfg.model
    assert owner.data_preprocessor.bgr_to_rgb is False and owner.data_preprocessor.std == [1.0, 1.0, 1.0]
    check_fit(cfg, source, images=2)
