"""The speed benchmark: its reference computes what HSAKD computes, and its report says what was measured."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch

from benchmarks import benchmark_step, timing
from benchmarks.reference_step import ReferenceStep, normalised
from benchmarks.timing import Phases
from benchmarks.variants import Networks, parse, reference_weights, set_statistics
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.hsakd import HSAKD, HSAKDTeacher
from tests.conftest import REPO
from tests.tools.commands import python

BACKBONE = dict(type='TimmBackbone', model_name='resnet18', num_classes=6)
PREPROCESSOR = dict(type='ImagePreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def test_the_reference_is_the_method() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    student, teacher = HSAKD(BACKBONE, data_preprocessor=PREPROCESSOR), HSAKDTeacher(BACKBONE)
    set_statistics(teacher, teacher.forward_branches)
    student.attach_teacher(teacher.requires_grad_(False))
    reference = ReferenceStep('resnet18', 'resnet18', 6, 'cpu', amp=False)
    reference_weights(reference.net, student)
    reference_weights(reference.teacher, teacher)

    images, labels = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8), torch.tensor([1, 4])
    losses = student(**student.data_preprocessor(dict(inputs=images, labels=labels), True), mode='loss')
    theirs = reference(normalised(images), labels)
    assert theirs['ce'] == pytest.approx(float(losses['loss_ce']), rel=1e-4)
    assert theirs['kl'] == pytest.approx(sum(float(v) for name, v in losses.items() if 'kl' in name), rel=1e-4)
    assert [len(pair) for pair in reference.sums.values()] == [2] * 9  # four branches, each in two ways, and the logits


def test_a_report_of_two_variants(tmp_path, monkeypatch, capsys) -> None:
    narrow = '[8,8,16,16]'
    options = [
        f'{owner}.backbone.{key}={value}'
        for owner in ('model', 'default_hooks.distillation.teacher')
        for key, value in (('channels', narrow), ('num_classes', 5))
    ]
    out = tmp_path / 'step.json'
    arguments = ['--random-teacher', '--batch', '2', '--size', '32', '--steps', '2', '--rounds', '2', '--device', 'cpu']
    variants = ['--variants', 'fp32', 'fp32+channels_last+fold_bn+fused', '--profile', '--out', str(out)]
    config = str(REPO / 'configs/hsakd/imagenet_r34_r18.py')
    monkeypatch.setattr(sys, 'argv', ['benchmark_step.py', config, *arguments, *variants, '--cfg-options', *options])
    benchmark_step.main()
    report = json.loads(out.read_text())
    assert report['turns'] == 2 and report['commit'] and report['hardware']['cores']
    for done in report['variants'].values():
        assert len(done['ms of each step']) == 4 and done['images/s'] > 0 and 0 < done['share of the matrix peak'] < 1
        assert {'copy', 'forward', 'teacher forward', 'backward', 'optimizer'} <= done['ms by phase'].keys()
        assert len(done['top kernels']) == 10
    assert 'fp32+channels_last+fold_bn+fused' in capsys.readouterr().out


@pytest.mark.parametrize('levers, nhwc', [('', False), ('+channels_last', True)])
def test_networks_have_the_memory_format_of_their_variant(levers, nhwc) -> None:
    """The config itself asks for NHWC."""
    cfg = load_config(str(REPO / 'configs/hsakd/imagenet_r34_r18.py'), {}, needs=('model',))
    assert cfg.model.data_preprocessor.channels_last
    model = Networks(cfg, random_teacher=True).ours(f'fp32{levers}', 'cpu', Phases('cpu')).model
    for net in (model, model.teacher):
        kernels = [value for value in net.parameters() if value.ndim == 4 and min(value.shape[1:3]) > 1]
        assert kernels and all(each.is_contiguous(memory_format=torch.channels_last) == nhwc for each in kernels)


def test_phases_of_a_step_are_added_up(monkeypatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(timing, 'time', SimpleNamespace(perf_counter=lambda: next(clock) / 1e3))
    phases = Phases('cpu')
    for _ in range(2):
        phases.start_step()
        for _ in range(2):
            with phases('forward'):
                pass
    steps, times = phases.collect()
    assert steps == pytest.approx([5, 5]) and times == {'forward': pytest.approx([2, 2])}


def test_an_unknown_lever_is_named() -> None:
    assert parse('amp+compile') == ('amp', {'compile'})
    with pytest.raises(UserError, match='channel_last'):
        parse('amp+channel_last')


def test_every_guard_is_timed(tmp_path) -> None:
    script, config = REPO / 'benchmarks/benchmark_guards.py', REPO / 'configs/hsakd/cifar100_r56_r20.py'
    done = python(script, config, '--size', 16, '--batch', 2, '--steps', 2, '--out', 'guards.json', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / 'guards.json').read_text())
    assert len(result['guards_ms']) == 8 and 0 < result['percent_together'] < 100
    assert result['percent_together'] == pytest.approx(100 * sum(result['guards_ms'].values()) / result['step_ms'])
