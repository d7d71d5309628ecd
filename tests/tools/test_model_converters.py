"""tools/model_converters/hsakd.py: there and back, bit for bit, or a sentence and no file."""

import argparse
import runpy
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.config import Config

from hsakd_mm.checkpoints.export import export_backbone
from hsakd_mm.checkpoints.loading import load_checkpoint, load_strict
from hsakd_mm.checkpoints.upstream import to_upstream
from hsakd_mm.registry import MODELS

from .commands import ROOT

PREPROCESSOR = dict(type='ImagePreprocessor', mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
RESNET = dict(type='CifarResNet', depth=8, num_classes=5)
WRN = dict(type='WideResNet', depth=10, widen_factor=1, num_classes=5)
MOBILENET = dict(type='CifarMobileNetV2', width_mult=0.25, num_classes=5)
VGG = dict(type='VGG', depth=8, num_classes=5)
MODEL_CONFIGS = {
    'teacher': dict(type='HSAKDTeacher', backbone=MOBILENET),
    'student': dict(type='HSAKD', backbone=WRN),
    'online': dict(type='HSSAKDOnline', nets=[dict(backbone=RESNET), dict(backbone=WRN)]),
    'plain': dict(type='Classifier', backbone=VGG),
}


class Odd:
    """Something that no file of weights should hold."""


@pytest.fixture
def convert(tmp_path, monkeypatch, capsys):
    """Runs the tool in this process; '' or the sentence that it ends with."""

    def run(*args) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', ['hsakd.py', *map(str, args)])
        try:
            runpy.run_path(str(ROOT / 'tools/model_converters/hsakd.py'), run_name='__main__')
        except SystemExit as end:
            status = end.code
        else:
            return ''
        errors = capsys.readouterr().err.splitlines()
        assert status == 2 and len(errors) == 1 and errors[0].startswith('error: ')
        return errors[0]

    return run


def write_config(folder, name: str) -> Config:
    cfg = Config(dict(model=dict(MODEL_CONFIGS[name], data_preprocessor=PREPROCESSOR)))
    cfg.dump(folder / 'config.py')
    return cfg


def their_weights(cfg: Config) -> OrderedDict:
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    return to_upstream(
        {
            key: torch.randn_like(value) if value.is_floating_point() else value + 7
            for key, value in model.state_dict().items()
        }
    )


def assert_same(weights, expected) -> None:
    assert list(weights) == list(expected)
    for key, value in weights.items():
        assert value.dtype == expected[key].dtype and torch.equal(value, expected[key]), key


@pytest.mark.parametrize('name', MODEL_CONFIGS)
def test_there_and_back(name, convert, tmp_path) -> None:
    cfg = write_config(tmp_path, name)
    weights = their_weights(cfg)
    torch.save(
        dict(net=weights, acc=np.float64(0.5), epoch=239, optimizer=dict(state={}, param_groups=[dict(lr=0.1)])),
        tmp_path / 'theirs.pth',
    )

    assert convert('theirs.pth', 'config.py', 'ours.pth') == ''
    content = load_checkpoint(str(tmp_path / 'ours.pth'))
    model = MODELS.build(cfg.model)
    assert list(content['state_dict']) == list(model.state_dict())
    load_strict(model, content['state_dict'], 'ours.pth', 'model')
    assert content['meta']['epoch'] == 240  # ours counts those that are done
    assert Config.fromstring(content['meta']['cfg'], '.py').model == cfg.model

    assert convert('--reverse', 'ours.pth', 'config.py', 'back.pth') == ''
    back = torch.load(tmp_path / 'back.pth', weights_only=True)
    assert back['epoch'] == 239
    assert_same(back['net'], weights)


@pytest.mark.parametrize(
    'content',
    [
        lambda weights: dict(
            model=weights,
            epoch=240,
            best_acc=torch.tensor(70.0),
            opt=argparse.Namespace(lr=0.05, lr_decay_epochs=[150, 180, 210]),
        ),
        lambda weights: dict(state_dict=weights),
        lambda weights: OrderedDict((f'module.{key}', value) for key, value in weights.items()),
    ],
)
def test_plain_weights_of_repdistiller(content, convert, tmp_path) -> None:
    weights = their_weights(write_config(tmp_path, 'plain'))
    torch.save(content(weights), tmp_path / 'theirs.pth')
    assert convert('theirs.pth', 'config.py', 'ours.pth') == ''
    ours = load_checkpoint(str(tmp_path / 'ours.pth'))
    assert_same(ours['state_dict'], {f'backbone.{key}': value for key, value in weights.items()})
    assert ours['meta'].get('epoch', 240) == 240

    done = export_backbone(str(tmp_path / 'ours.pth'), str(tmp_path / 'backbone'), with_head=True)
    assert_same(load_checkpoint(done.pth)['state_dict'], weights)


def test_refusals_write_nothing(convert, tmp_path) -> None:
    cfg = write_config(tmp_path, 'plain')
    weights = their_weights(cfg)
    torch.save(dict(net=weights), tmp_path / 'theirs.pth')
    torch.save(dict(net=weights, best=Odd()), tmp_path / 'odd.pth')
    torch.save(dict(net={}, acc=1.0), tmp_path / 'empty.pth')
    (tmp_path / 'cut.pth').write_bytes((tmp_path / 'theirs.pth').read_bytes()[:1000])
    (tmp_path / 'out.pth').write_text('as it was')
    others = dict(MODEL_CONFIGS['plain'], backbone=dict(VGG, num_classes=6))
    Config(dict(model=dict(others, data_preprocessor=PREPROCESSOR))).dump(tmp_path / 'other.py')

    for file, config, said in (
        ('none.pth', 'config.py', 'there is none'),
        ('theirs.pth', 'other.py', 'of another shape: backbone.classifier.weight'),
        ('odd.pth', 'config.py', 'save its weights alone'),
        ('empty.pth', 'config.py', 'a state dict was expected'),
        ('cut.pth', 'config.py', 'may be truncated'),
        ('theirs.pth', 'none.py', 'there is no such file'),
    ):
        assert said in convert(file, config, 'out.pth')
    assert 'would overwrite its own input' in convert('theirs.pth', 'config.py', 'theirs.pth')
    assert (tmp_path / 'out.pth').read_text() == 'as it was'
    assert len(list(tmp_path.iterdir())) == 7


def test_other_branches_have_no_name_there(convert, tmp_path) -> None:
    @MODELS.register_module(force=True)
    class OddBranches(torch.nn.ModuleList):
        def __init__(self, backbone, num_outputs) -> None:
            super().__init__([torch.nn.Linear(backbone.num_features, num_outputs)])

    cfg = Config(dict(model=dict(type='HSAKDTeacher', backbone=RESNET, branches=dict(type='OddBranches'))))
    cfg.dump(tmp_path / 'config.py')
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / 'ours.pth')
    assert 'OddBranches' in convert('--reverse', 'ours.pth', 'config.py', 'theirs.pth')
    assert not (tmp_path / 'theirs.pth').exists()
