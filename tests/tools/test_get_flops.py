"""The figures that ``papers.md`` 1.4 gives for the authors' own networks."""

import pytest
from mmengine.config import Config

from tests.conftest import REPO
from tests.undrawn import undrawn

from .commands import assert_sentence, module, python

SCRIPT = REPO / 'tools' / 'analysis_tools' / 'get_flops.py'


@pytest.fixture(scope='module')
def tool():
    return module(SCRIPT)


@pytest.fixture(autouse=True)
def no_weights_are_drawn():
    with undrawn():
        yield


def total(costs: list, what: str) -> int:
    return sum(getattr(cost, what) for cost in costs)


def test_the_papers_pair_on_imagenet(tool) -> None:
    costs = tool.measure(Config.fromfile(REPO / 'configs/hsakd/imagenet_r34_r18.py'), 224)
    for net, params, aux, macs, with_aux in (
        (costs['nets'][0], 11.690, 47.555, 1.814, 4.751),
        (costs['teachers'][0], 21.798, 76.474, 3.664, 9.838),
    ):
        branches = net.designs['TailBranches']
        assert net.backbone.params / 1e6 == pytest.approx(params, abs=5e-4)
        assert total(branches, 'params') / 1e6 == pytest.approx(aux, abs=5e-4)
        assert net.backbone.macs / 1e9 == pytest.approx(macs, abs=5e-4)
        assert total([net.backbone, *branches], 'macs') / 1e9 == pytest.approx(with_aux, abs=5e-4)
    for net, learns in ((costs['nets'][0], True), (costs['teachers'][0], False)):
        assert {cost.trained for design in net.designs.values() for cost in design} == {learns}
    assert costs['views'] == 4
    plain = 3 * costs['nets'][0].backbone.macs
    assert round(costs['training']['TailBranches'] / plain) == 18  # as papers.md derives
    assert costs['training']['LightBranches'] < costs['training']['TailBranches'] / 2


STEM = 64 * 3 * 7 * 7 * 16 * 16  # multiply-adds of its first layer at 32 pixels: images need no gradient
SMALL = dict(type='TimmBackbone', model_name='resnet18', num_classes=5, channels=(8, 8, 16, 16))


def test_two_networks_are_reported_each(tool) -> None:
    cfg = Config(
        dict(
            model=dict(
                type='HSSAKDOnline',
                nets=[
                    dict(backbone=SMALL),
                    dict(backbone=dict(SMALL, model_name='resnet34'), branches=dict(type='TailBranches')),
                ],
            )
        )
    )
    costs = tool.measure(cfg, 32)
    first, second = costs['nets']
    assert second.backbone.macs > first.backbone.macs
    forward = sum(total([net.backbone, *net.designs['LightBranches']], 'macs') for net in (first, second))
    assert costs['training']['LightBranches'] == 4 * (3 * forward - 2 * STEM)
    text = tool.table(costs)
    assert 'HSSAKDOnline net1, resnet18' in text and 'net2, resnet34' in text


def test_what_does_not_learn_has_no_backward(tool) -> None:
    model = dict(type='HSAKDTeacher', backbone=SMALL, branches=dict(type='LightBranches'))
    joint, frozen = (
        tool.measure(Config(dict(model=dict(model, **more))), 32)
        for more in ({}, dict(frozen_backbone=True, checkpoint='unused'))
    )
    assert joint['own'] == 'LightBranches'
    for design, macs in joint['training'].items():
        learnt = 4 * (2 * joint['nets'][0].backbone.macs - STEM)
        assert learnt < macs - frozen['training'][design] < 2 * learnt  # and what of the branches reaches the backbone


def test_without_branches(tool) -> None:
    costs = tool.measure(Config(dict(model=dict(type='Classifier', backbone=SMALL))), 32)
    assert costs['training'] == {None: 3 * costs['nets'][0].backbone.macs - STEM}
    assert 'no branches (this config)' in tool.table(costs)


def test_a_tail_that_cannot_be_built_is_said(tool, monkeypatch) -> None:
    def refuse(*_):
        raise tool.UserError('the last stage cannot be copied')

    monkeypatch.setattr('hsakd_mm.models.backbones.TimmBackbone.build_tail', refuse)
    model = dict(type='HSAKD', backbone=SMALL, branches=dict(type='LightBranches'))
    costs = tool.measure(Config(dict(model=model)), 32)
    text = tool.table(costs)
    assert costs['training']['TailBranches'] is None
    assert 'TailBranches: the last stage cannot be copied' in text
    assert 'LightBranches (this config)' in text.splitlines()[2]


@pytest.mark.parametrize('config, size', [('configs/hsakd/imagenet_r34_r18.py', 224), ('configs/demo/hsakd.py', 32)])
def test_the_size_is_the_configs(tool, config, size) -> None:
    assert tool.train_size(Config.fromfile(REPO / config)) == size


def test_from_the_command_line(tool, tmp_path, monkeypatch, capsys) -> None:
    config = str(REPO / 'configs' / 'baselines' / 'imagenet_r18.py')
    monkeypatch.setattr(
        'sys.argv',
        ['get_flops.py', config, '--shape', '64', '--cfg-options', 'model.backbone.model_name=test_efficientnet'],
    )
    tool.main()
    said = capsys.readouterr().out
    assert 'Classifier, test_efficientnet' in said and '64 x 64 pixels' in said
    refused = python(SCRIPT, REPO / 'configs/_base_/default_runtime.py', cwd=tmp_path)
    assert_sentence(refused, 'sets no model')


@pytest.mark.parametrize(
    'model', [dict(type='RSKD', backbone=SMALL), dict(type='DML', nets=[dict(backbone=SMALL)] * 2)]
)
def test_whatever_a_step_runs_is_counted(tool, model) -> None:
    plain = tool.measure(Config(dict(model=dict(type='Classifier', backbone=SMALL))), 32)['training'][None]
    costs = tool.measure(Config(dict(model=model)), 32)
    assert len(costs['nets']) == (2 if model['type'] == 'DML' else 1)
    if model['type'] == 'DML':
        assert costs['training'][None] == pytest.approx(2 * plain)
    else:
        assert plain < costs['training'][None] < 2 * plain
