"""What to do with a file that cannot be resumed: the sentence's advice, followed to the weights in the model."""

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from hsakd_mm.checkpoints.backbone_file import read_backbone
from hsakd_mm.checkpoints.export import export_all
from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.engine.initial_weights import load_start, start_from_weights
from hsakd_mm.engine.preflight import find_checkpoint_to_resume
from hsakd_mm.errors import UserError
from hsakd_mm.models import ImagePreprocessor
from hsakd_mm.models.backbones import TimmBackbone
from hsakd_mm.models.distillers.hsakd import HSAKDTeacher
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.models.distillers.rskd import RSKD
from hsakd_mm.registry import MODELS

NETWORK = dict(type='TimmBackbone', model_name='resnet18', num_classes=10, channels=(8, 8, 16, 16))
PREPROCESSOR = dict(type='ImagePreprocessor', mean=[10.0, 20.0, 30.0], std=[40.0, 50.0, 60.0])


def checkpoint(folder, prefixes=('backbone.',), preprocessor=PREPROCESSOR):
    """A training checkpoint of one network, or of several that taught each other."""
    torch.manual_seed(3)
    state = {}
    for prefix in prefixes:
        state.update((prefix + name, value) for name, value in TimmBackbone(**keys()).state_dict().items())
    model = dict(type='Classifier', backbone=NETWORK, data_preprocessor=preprocessor, nets=[dict(backbone=NETWORK)] * 2)
    path = folder / 'epoch_9.pth'
    torch.save(dict(state_dict=state, meta=dict(cfg=f'model = {model}', epoch=9)), path)
    return path


def keys() -> dict:
    return {name: value for name, value in NETWORK.items() if name != 'type'}


PAIR = ('net1.backbone.', 'net2.backbone.')
FILES = {
    'an export': lambda folder: export_all(str(checkpoint(folder)))[0].pth,
    'an export as safetensors': lambda folder: export_all(str(checkpoint(folder)))[0].safetensors,
    'an export with its head': lambda folder: export_all(str(checkpoint(folder)), with_head=True)[0].pth,
    'of an online pair': lambda folder: export_all(str(checkpoint(folder, PAIR)))[1].pth,
}


def plain_config(folder, **model) -> Config:
    return Config(
        dict(
            default_scope='hsakd_mm',
            work_dir=str(folder),
            model=dict(dict(type='Classifier', backbone=NETWORK, data_preprocessor=PREPROCESSOR), **model),
        )
    )


def advice(cfg: Config, path: str) -> str:
    with pytest.raises(UserError) as error:
        find_checkpoint_to_resume(cfg, path)
    assert path in str(error.value) and 'holds weights only' in str(error.value)
    return str(error.value)


@pytest.mark.parametrize('name', FILES)
def test_the_advice_starts_a_plain_student(tmp_path, name) -> None:
    path = FILES[name](tmp_path)
    option, value = re.search(r'--cfg-options (\S+)=(\S+)\.$', advice(plain_config(tmp_path), path)).groups()
    cfg = plain_config(tmp_path)
    cfg.merge_from_dict({option: value})
    cfg.experiment_name = str(tmp_path)  # mmengine keeps loggers by this name
    runner = Runner.from_cfg(cfg)
    start_from_weights(runner, cfg.load_from)
    runner._init_model_weights()  # as runner.train does
    runner.load_or_resume()
    holds_the_file(runner.model.backbone, path)


def holds_the_file(backbone, path: str) -> None:
    weights = read_backbone(path).state_dict
    own = backbone.state_dict()
    assert len(weights) >= len(own) - 2
    assert all(torch.equal(own[key], value) for key, value in weights.items())


def test_a_whole_run_from_an_exported_backbone(config, tmp_path) -> None:
    """Through mmengine's order of things: init_weights, hooks with copies of the model, the first step."""
    cfg = config('plain', **{'optim_wrapper.optimizer.lr': 0.0, 'auto_scale_lr': None})
    cfg.param_scheduler = None
    cfg.custom_hooks = [dict(type='EMAHook')]
    path = export_all(str(checkpoint(tmp_path, preprocessor=cfg.model.data_preprocessor.to_dict())))[0].pth
    cfg.load_from, cfg.experiment_name = path, str(tmp_path)
    runner = Runner.from_cfg(cfg)
    start_from_weights(runner, path)
    runner.train()
    weights, averaged = torch.load(path), next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook')
    for own in (runner.model.backbone.state_dict(), averaged.ema_model.module.backbone.state_dict()):
        for name, _ in runner.model.backbone.named_parameters():
            assert name.startswith('fc.') or torch.allclose(own[name], weights[name], atol=1e-6), name


@pytest.mark.parametrize('type_', ['HSAKDTeacher', 'SSKDTeacher'])
def test_the_advice_starts_a_frozen_teacher(tmp_path, type_) -> None:
    cfg = plain_config(tmp_path, type=type_, checkpoint=None)
    bare = FILES['an export'](tmp_path)
    assert '--with-head' in advice(cfg, bare)  # its own classifier teaches
    path = FILES['an export with its head'](tmp_path)
    option, value = re.search(r'--cfg-options (\S+)=(\S+)\.$', advice(cfg, path)).groups()
    cfg.merge_from_dict({option: value})
    model = MODELS.build(cfg.model)
    model.init_weights()
    holds_the_file(model.backbone, path)


@pytest.mark.parametrize('name', FILES)
def test_a_detector_and_an_online_pair(tmp_path, name) -> None:
    path = FILES[name](tmp_path)
    detector = Config(dict(default_scope='mmdet', work_dir=str(tmp_path), model=dict(type='FasterRCNN', backbone={})))
    assert f'hsakd-mm transfer {path} ' in advice(detector, path) and 'load_from' not in advice(detector, path)
    pair = plain_config(tmp_path, type='DML', nets=[dict(backbone=NETWORK)] * 2)
    assert 'leave --resume out' in advice(pair, path) and 'load_from' not in advice(pair, path)
    option, value = re.search(r'--cfg-options (\S+)=(\S+)\.$', advice(pair, path)).groups()
    pair.merge_from_dict({option: value})
    cfg = {name: each for name, each in pair.model.items() if name != 'backbone'}
    model = MODELS.build(cfg)
    model.init_weights()
    for backbone in model.backbones:
        weights, own = read_backbone(path).state_dict, backbone.state_dict()
        assert all(torch.equal(own[key], value) for key, value in weights.items() if not key.startswith('fc.'))


@pytest.mark.parametrize('name', FILES)
def test_the_advice_starts_a_teacher_with_a_new_head(tmp_path, name) -> None:
    path = FILES[name](tmp_path)
    cfg = plain_config(tmp_path, type='HSAKDTeacher', frozen_backbone=True, new_head=True, checkpoint='other.pth')
    option, value = re.search(r'--cfg-options (\S+)=(\S+)\.$', advice(cfg, path)).groups()
    cfg.merge_from_dict({option: value})
    model = MODELS.build(cfg.model)
    model.init_weights()
    weights, own = read_backbone(path).state_dict, model.backbone.state_dict()
    assert all(torch.equal(own[key], each) for key, each in weights.items() if not key.startswith('fc.'))


def test_an_empty_work_directory_is_not_resumed_from(config, tmp_path) -> None:
    """mmengine's resume=True without a checkpoint starts from the beginning, so that the backbone has to be loaded."""
    cfg = config('plain', **{'optim_wrapper.optimizer.lr': 0.0})
    cfg.param_scheduler, cfg.resume = None, True
    cfg.model.load_backbone_from = str(tmp_path / 'start.pth')
    cfg.experiment_name = str(tmp_path)
    torch.manual_seed(3)
    given = Classifier(dict(cfg.model.backbone)).backbone.state_dict()
    torch.save(given, cfg.model.load_backbone_from)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert torch.equal(runner.model.backbone.layer1[0].conv1.weight, given['layer1.0.conv1.weight'])


@pytest.mark.parametrize('owner', [HSAKDTeacher, RSKD, Classifier])
def test_a_backbone_starts_any_method_with_one(tmp_path, owner) -> None:
    path = FILES['an export'](tmp_path)
    model = owner(NETWORK)
    content = torch.load(path)
    said = load_start(model, dict(state_dict=content), path)
    holds_the_file(model.backbone, path)
    assert f'starts from {path}' in said and 'random: fc.weight, fc.bias' in said


def test_a_student_goes_on_from_another_methods_backbone(tmp_path) -> None:
    """HSAKD after KD: what HSAKD has beside the backbone starts as it would."""
    path = checkpoint(tmp_path)
    content = load_checkpoint(str(path))
    student = MODELS.build(dict(type='HSAKD', backbone=NETWORK, data_preprocessor=PREPROCESSOR))
    branch = student.branches[0].fc.weight.clone()
    assert 'backbone starts from' in load_start(student, content, str(path))
    for name, value in student.backbone.state_dict().items():
        assert torch.equal(value, content['state_dict'][f'backbone.{name}']), name
    assert torch.equal(student.branches[0].fc.weight, branch)
    content['state_dict']['branches.0.fc.weight'] = torch.zeros(3)  # of a model with parts that this one has too
    with pytest.raises(UserError, match='branches'):
        load_start(student, content, str(path))


@pytest.mark.parametrize(
    'change, words',
    [
        (lambda state: state.pop('layer4.1.conv2.weight'), 'missing: backbone.conv1'),
        (lambda state: state.update({'layer5.0.weight': torch.ones(1)}), 'missing: backbone.conv1'),
        (lambda state: state.update({'fc.weight': torch.ones(3, 16), 'fc.bias': torch.ones(3)}), 'missing: backbone'),
        (lambda state: state['conv1.weight'].fill_(float('nan')), 'hold NaN'),
    ],
)
def test_a_backbone_that_does_not_fit_starts_nothing(tmp_path, change, words) -> None:
    state = dict(torch.load(FILES['an export'](tmp_path)))
    change(state)
    model = Classifier(NETWORK)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match=words):
        load_start(model, dict(state_dict=state), 'x.pth')
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize('part', ['another method', 'a backbone of it'])
def test_a_part_of_another_model_is_not_taken_for_a_backbone(part) -> None:
    state = HSAKDTeacher(NETWORK).state_dict()
    if part != 'another method':
        state = {name: value for name, value in state.items() if name.startswith('backbone.') and '.fc.' not in name}
    with pytest.raises(UserError, match='left over: branches' if part == 'another method' else 'missing: backbone.fc'):
        load_start(Classifier(NETWORK), dict(state_dict=state), 'x.pth')


BGR = dict(type='DetDataPreprocessor', mean=[30.0, 20.0, 10.0], std=[60.0, 50.0, 40.0])


@pytest.mark.parametrize(
    'preprocessor, words',
    [
        (BGR, 'was trained on BGR with mean .30.0, 20.0, 10.0.: reverse the input channels'),
        (dict(BGR, bgr_to_rgb=True), r'was trained on images with mean \[30.0'),
        (dict(BGR, mean=[10.0, 20.0, 30.0], std=[40.0, 50.0, 60.0], bgr_to_rgb=False), 'was trained on BGR'),
    ],
)
@pytest.mark.parametrize('way', ['load_from', 'model.checkpoint', 'probe', 'exported'])
def test_weights_for_bgr_are_not_given_rgb(tmp_path, preprocessor, words, way) -> None:
    path = checkpoint(tmp_path, preprocessor=preprocessor)
    ours = ImagePreprocessor(PREPROCESSOR['mean'], PREPROCESSOR['std'])
    if way == 'exported':
        path = export_all(str(path), with_head=True)[0].safetensors
    if way == 'probe' and preprocessor.get('bgr_to_rgb'):
        pytest.skip('a probe has a normalisation of its own')
    with pytest.raises(UserError, match=words):
        if way == 'load_from':
            path = export_all(str(path))[0].pth
            load_start(Classifier(NETWORK, ours), load_checkpoint(path), path)
        elif way == 'probe':
            MODELS.build(dict(type='LinearProbe', backbone=NETWORK, num_classes=3, checkpoint=str(path))).init_weights()
        else:
            HSAKDTeacher(NETWORK, data_preprocessor=ours, checkpoint=str(path)).init_weights()


def test_what_the_refusal_of_bgr_says_is_exact(tmp_path) -> None:
    path = checkpoint(tmp_path, preprocessor=BGR)
    state = torch.load(path)['state_dict']
    images = torch.randint(0, 256, (2, 3, 64, 64)).float()
    net = TimmBackbone(**keys()).eval()
    net.load_state_dict({name.removeprefix('backbone.'): value for name, value in state.items()})
    mean, std = (torch.tensor(BGR[name]).view(3, 1, 1) for name in ('mean', 'std'))
    wanted = net((images.flip(1) - mean) / std)

    state['backbone.conv1.weight'] = state['backbone.conv1.weight'].flip(1)
    torch.save(state, tmp_path / 'rgb.pth')
    teacher = HSAKDTeacher(NETWORK, data_preprocessor=PREPROCESSOR, checkpoint=str(tmp_path / 'rgb.pth'))
    teacher.init_weights()
    given = teacher.data_preprocessor(dict(inputs=images.to(torch.uint8)))['inputs']
    torch.testing.assert_close(teacher.eval().backbone(given), wanted, rtol=1e-4, atol=1e-4)
