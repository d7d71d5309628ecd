"""Benches: what is planned, a tiny real one from end to end."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.training_cost import training_macs
from hsakd_mm.experiments.bench import Bench
from hsakd_mm.experiments.pretraining import collect
from hsakd_mm.experiments.run_bench import run_bench
from tests.conftest import REPO
from tests.tools.commands import assert_sentence, python
from tests.undrawn import undrawn

# Two classes, dark and bright; a network of one block a stage; two steps an epoch.
CONFIG = """
_base_ = ['{base}/datasets/cifar100_bs64.py', '{base}/schedules/cifar_240e.py',
          '{base}/default_runtime.py']
_images = dict(_delete_=True, type='ImageFolder', data_root='data')
_pipeline = [dict(type='LoadImage'), dict(type='PackInputs')]
_loader = dict(batch_size=8, num_workers=0, pin_memory=False)
train_dataloader = dict(
    **_loader, dataset=dict(**_images, split='train', pipeline=_pipeline))
val_dataloader = dict(
    **_loader, dataset=dict(**_images, split='val', pipeline=_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(topk=(1, ))
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1)
param_scheduler = dict(milestones=[1])
_net = dict(type='CifarResNet', depth=8, num_classes=2, width=(4, 4, 4, 4))
model = dict(
    type='{type}', data_preprocessor=_base_.data_preprocessor, backbone=_net)
default_hooks = dict(logger=dict(interval=1){hook})
"""
HOOK = """, distillation=dict(
    type='DistillationHook', checkpoint='nowhere', check=False,
    teacher=dict(type='Classifier', data_preprocessor=_base_.data_preprocessor, backbone=_net))"""
BENCH = """
title = 'Tiny'
runs = [
    dict(name='teacher', config='plain.py', seeds=[7]),
    dict(name='plain', config='plain.py'),
    dict(name='KD', config='kd.py', needs={'default_hooks.distillation.checkpoint': 'teacher'}),
]
baseline = 'plain'
notes = ['Two grey levels.']
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Path:
    """A folder, now the current one, with ``tiny/bench.py``, its configs and its images."""
    rng = np.random.default_rng(0)
    for split, count in (('train', 8), ('val', 4)):
        for name, level in (('bright', 160), ('dark', 40)):
            folder = tmp_path / 'data' / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(level, level + 60, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f'{number}.png')
    (tmp_path / 'tiny').mkdir()
    base = REPO / 'configs' / '_base_'
    for name, kind, hook in (('plain', 'Classifier', ''), ('kd', 'KD', HOOK)):
        (tmp_path / 'tiny' / f'{name}.py').write_text(CONFIG.format(base=base, type=kind, hook=hook))
    (tmp_path / 'tiny' / 'bench.py').write_text(BENCH)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rewrite(folder: Path, old: str, new: str) -> None:
    file = folder / 'tiny' / 'bench.py'
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def names(runs) -> list:
    return [(run.name, run.seed) for run in runs]


def test_plan(tiny) -> None:
    plan = Bench('tiny/bench.py', [0, 1])
    assert names(plan.runs) == [('teacher', 7), ('plain', 0), ('KD', 0), ('plain', 1), ('KD', 1)]
    assert names(plan.selected(['KD'])) == [('teacher', 7), ('KD', 0), ('KD', 1)]
    assert names(plan.selected(['plain'])) == [('plain', 0), ('plain', 1)]
    assert names(plan.selected(['KD'], [1])) == [('teacher', 7), ('KD', 1)]
    with pytest.raises(UserError, match='the seeds of .* are 0, 1, and 9 was wanted'):
        plan.selected(['KD'], [9])
    words = plan.runs[-1].stage.command
    assert words[-2:] == [
        'randomness.seed=1',
        'default_hooks.distillation.checkpoint=work_dirs/tiny/teacher/seed7/epoch_1.pth',
    ]
    rewrite(tiny, ', seeds=[7]', '')  # a teacher for each seed
    assert names(Bench('tiny/bench.py', [3]).runs) == [('teacher', 3), ('plain', 3), ('KD', 3)]


@pytest.mark.parametrize(
    'old, new, words',
    [
        ("name='KD'", "name='plain'", 'a name of its own'),
        ("'teacher'}", "'techer'}", "needs 'techer'"),
        ("baseline = 'plain'", "baseline = 'plane'", 'did you mean plain'),
        ("baseline = 'plain'", "pairs = [('KD', 'plane')]", r"should have two of its rows .*\('KD', 'plane'\)"),
        ("config='kd.py'", "config='k.py'", 'a config was expected'),
        ('seeds=[7]', 'seeds=[7, 8]', 'wanted with seed 0'),
        ("title = 'Tiny'", "titel = 'Tiny'", 'sets titel, .*did you mean title'),
        ("title = 'Tiny'", "measure = 'tset'", "should be 'val' or 'test'"),
        ("title = 'Tiny'", 'threads = 0', 'threads of .* should be a number of 1 or more'),
        ("title = 'Tiny'", "jobs = 'two'", 'jobs of .* should be a number of 1 or more'),
        ("title = 'Tiny'", "detector = 'detector.py'", r'should be dict\(config=...\)'),
        ("name='KD'", "name='random'", 'not random'),
        ("name='KD'", "name='a b', config='plain.py'), dict(name='a_b'", 'a name of its own'),
    ],
)
def test_mistakes_in_the_file(tiny, old, new, words) -> None:
    rewrite(tiny, old, new)
    with pytest.raises(UserError, match=words):
        Bench('tiny/bench.py')


def test_the_front_gives_each_method_the_same_budgets() -> None:
    """The longest run of each curve costs what plain training does in 480 epochs, or in 240."""
    longest = {}
    for run in Bench(str(REPO / 'configs/bench/front/bench.py'), [0]).runs:
        if run.curve and run.curve != 'KD, then HSAKD':
            longest[run.curve] = run
    with undrawn():
        cost = {name: training_macs(run.cfg, 32) * run.cfg.train_cfg.max_epochs for name, run in longest.items()}
    assert len(cost) == 9
    for name, macs in cost.items():
        epochs = 480 * macs / cost['plain']
        assert any(abs(epochs / budget - 1) < 0.08 for budget in (240, 480)), (name, epochs)


def test_the_front_of_few_labels_keeps_its_budgets() -> None:
    runs = [run for run in Bench(str(REPO / 'configs/bench/front/few_labels.py'), [0]).runs if run.curve]
    cost = {}
    with undrawn():
        for run in runs:
            images = run.cfg.train_cfg.max_epochs * run.cfg.train_dataloader.dataset.fraction
            cost[run.name] = training_macs(run.cfg, 32) * images
    for name, macs in cost.items():
        epochs = 320 * macs / cost['plain, 320 epochs']
        assert any(abs(epochs / budget - 1) < 0.08 for budget in (80, 160, 320)), (name, epochs)


def stop_before_the_last_validation(folder: Path) -> None:
    """Leave the run as one that was killed after it saved its last epoch."""
    for log in folder.glob('*/vis_data/scalars.json'):
        log.write_text(''.join(line for line in log.read_text().splitlines(keepends=True) if 'accuracy' not in line))


def test_a_run_that_never_measured_its_last_epoch_does(tiny, capfd) -> None:
    rewrite(
        tiny, "    dict(name='KD', config='kd.py', needs={'default_hooks.distillation.checkpoint': 'teacher'}),\n", ''
    )
    rewrite(tiny, "    dict(name='teacher', config='plain.py', seeds=[7]),\n", '')
    run_bench(Bench('tiny/bench.py', [0]), 'the command')
    before = json.loads(Path('work_dirs/tiny/report.json').read_text())
    folder = Path('work_dirs/tiny/plain/seed0')
    checkpoint = (folder / 'epoch_1.pth').read_bytes()
    stop_before_the_last_validation(folder)
    plan = Bench('tiny/bench.py', [0])
    assert collect(plan.runs) == []

    run_bench(plan, 'another command')
    after = json.loads(Path('work_dirs/tiny/report.json').read_text())
    assert after['runs'][0]['top1'] == before['runs'][0]['top1']
    assert after['runs'][0]['command'] == 'another command'
    assert (folder / 'epoch_1.pth').read_bytes() == checkpoint  # nothing was trained
    (folder / 'origin.json').unlink()
    (run,) = collect(plan.runs)
    assert (run['command'], run['commit']) == ('unknown', 'unknown')


def test_a_cost_that_cannot_be_counted_fails_no_run(tiny, capfd, monkeypatch) -> None:
    rewrite(tiny, "    dict(name='teacher', config='plain.py', seeds=[7]),\n", '')
    rewrite(tiny, "'teacher'}", "'plain'}")
    monkeypatch.setattr('hsakd_mm.experiments.pretraining.training_macs', lambda *_: 1 / 0)
    run_bench(Bench('tiny/bench.py', [0]), 'the command', ['plain'])
    assert 'plain, seed 0: its multiply-adds could not be counted (ZeroDivisionError' in capfd.readouterr().out
    (row,) = json.loads(Path('work_dirs/tiny/report.json').read_text())['rows']
    assert row['macs'] is None and row['top1'] > 0


def test_a_run_that_goes_on_from_another(tiny, capfd) -> None:
    """It starts from the other's weights, whose training is a part of its own cost, not of its teacher's."""
    rewrite(
        tiny,
        "    dict(name='KD', config='kd.py', needs={'default_hooks.distillation.checkpoint': 'teacher'}),\n",
        "    dict(name='KD', config='kd.py', needs={'default_hooks.distillation.checkpoint': 'teacher',"
        " 'load_from': 'plain'}),\n",
    )
    run_bench(Bench('tiny/bench.py', [0]), 'the command')
    _, plain, kd = json.loads(Path('work_dirs/tiny/report.json').read_text())['rows']
    said = Path('work_dirs/tiny/KD/seed0/output.log').read_text()
    assert 'The model starts from work_dirs/tiny/plain/seed0/epoch_1.pth' in said
    assert kd['teachers_macs'] == plain['macs']  # the teacher is as long a plain training
    assert 2 * plain['macs'] < kd['macs'] < 3 * plain['macs']
    assert kd['seconds'] == pytest.approx(kd['wall_seconds'] + plain['wall_seconds'], abs=0.2)


def test_end_to_end(tiny, capfd) -> None:
    rewrite(tiny, "    dict(name='teacher', config='plain.py', seeds=[7]),\n", '')
    rewrite(tiny, "'teacher'}", "'plain'}")
    run_bench(Bench('tiny/bench.py', [0]), 'the command', ['plain'])
    output = capfd.readouterr().out
    assert '[1/1] plain, seed 0\n' in output and '1 of 2 runs are not done' in output

    run_bench(Bench('tiny/bench.py', [0]), 'another command')
    output = capfd.readouterr().out
    assert '[1/2] plain, seed 0: done before' in output and '[2/2] KD, seed 0\n' in output

    report = json.loads(Path('work_dirs/tiny/report.json').read_text())
    plain, kd = report['rows']
    assert plain['cost'] == 1.0 and kd['cost'] > 0 and kd['sigma'] is None
    assert plain['macs'] > 0 and plain['teachers_macs'] == 0
    assert plain['macs'] < kd['macs'] < 2 * plain['macs'] and kd['teachers_macs'] == plain['macs']
    assert kd['relative_teachers_macs'] == 1 and kd['teachers_seconds'] == plain['seconds'] > 0
    assert [run['taught_by'] for run in report['runs']] == [[], ['plain']]
    assert kd['parameters'] == plain['parameters'] > 1000
    assert [run['command'] for run in report['runs']] == ['the command', 'another command']
    for result in report['runs']:
        assert {
            'top1',
            'best_top1',
            'config_sha256',
            'commit',
            'hardware',
            'torch',
            'seed',
            'threads',
            'wall_seconds',
            'checkpoint_sha256',
            'run_command',
        } <= result.keys()
        assert result['curve'] == [[1, result['top1']]]
    text = Path('work_dirs/tiny/report.md').read_text()
    assert '| plain |' in text and 'Two grey levels.' in text and 'report.png' in text
    assert Path('work_dirs/tiny/report.png').read_bytes().startswith(b'\x89PNG')

    # A changed config outdates what was made from it: the report no longer counts it.
    config = tiny / 'tiny' / 'kd.py'
    config.write_text(config.read_text() + "model['temperature'] = 3.\n")
    results = collect(Bench('tiny/bench.py', [0]).runs)
    assert [result['name'] for result in results] == ['plain']


def test_runs_at_a_time_are_those_in_turn(tiny, capfd) -> None:
    rewrite(tiny, "title = 'Tiny'", "title = 'Tiny'\nthreads = 1")
    before = torch.get_num_threads(), os.environ.get('OMP_NUM_THREADS')
    run_bench(Bench('tiny/bench.py', [0, 1]), 'the command', ['plain'], jobs=2)
    assert (torch.get_num_threads(), os.environ.get('OMP_NUM_THREADS')) == before
    output = capfd.readouterr().out
    assert output.index('[2/2] plain, seed 1') < output.index('plain, seed 0: done in')
    run_bench(Bench('tiny/bench.py', [0], work_dir='in_turn'), 'the command', ['plain'], jobs=1)
    first, second = (
        torch.load(f'{folder}/plain/seed0/epoch_1.pth', weights_only=False) for folder in ('work_dirs/tiny', 'in_turn')
    )
    for key, value in first['state_dict'].items():
        assert torch.equal(value, second['state_dict'][key]), key
    report = json.loads(Path('work_dirs/tiny/report.json').read_text())
    assert [(run['seed'], run['threads']) for run in report['runs']] == [(0, 1), (1, 1)]


def test_a_run_that_fails_keeps_no_other_from_running(tiny, capfd) -> None:
    rewrite(tiny, 'seeds=[7])', "seeds=[7], options={'model.backbone.depth': 9})")
    rewrite(
        tiny,
        "    dict(name='plain', config='plain.py'),",
        "    dict(name='plain', config='plain.py', metric='accuracy/top9'),",
    )
    rewrite(tiny, ']\nbaseline', "    dict(name='other', config='plain.py'),\n]\nbaseline")
    with pytest.raises(SystemExit) as ended:
        run_bench(Bench('tiny/bench.py', [0]), 'the command')
    errors = capfd.readouterr().err
    assert ended.value.code == 2
    assert 'teacher, seed 7 failed with status 2' in errors and 'depth' in errors
    assert 'KD, seed 0 failed with status 2: it needs teacher, seed 7, which failed' in errors
    assert 'to log accuracy/top9 for epoch 1, and logged accuracy/top1' in errors
    report = json.loads(Path('work_dirs/tiny/report.json').read_text())
    assert [row['name'] for row in report['rows']] == ['other']


def test_unknown_name_ends_in_a_sentence(tiny) -> None:
    done = python(REPO / 'tools' / 'benchmark.py', 'tiny/bench.py', '--only', 'plane', cwd=tiny)
    assert_sentence(done, '--only', 'plane', 'teacher, plain, KD')
