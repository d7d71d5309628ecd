"""Runs of a bench that cost what another one costs."""

from pathlib import Path

import pytest
from mmengine.config import Config

from hsakd_mm.engine.options import parse_value
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.training_cost import train_size, training_macs
from hsakd_mm.experiments.bench import Bench, as_words
from hsakd_mm.experiments.equal_cost import stretched
from tests.conftest import REPO
from tests.undrawn import undrawn

PLAIN = """
_base_ = ['{base}/datasets/cifar100_bs64.py', '{base}/schedules/cifar_240e.py', '{base}/default_runtime.py']
train_dataloader = dict(dataset=dict(_delete_=True, type='ImageFolder', data_root='data', split='train', pipeline=[
    dict(type='LoadImage'), dict(type='torchvision/RandomCrop', size=32), dict(type='PackInputs')]))
train_cfg = dict(max_epochs=8)
param_scheduler = dict(milestones=[5, 6, 7])
net = dict(type='CifarResNet', depth=8, num_classes=2, width=(4, 4, 4, 4))
model = dict(type='Classifier', data_preprocessor=_base_.data_preprocessor, backbone=net)
"""
KD = """
_base_ = 'plain.py'
model = dict(type='KD')
default_hooks = dict(distillation=dict(type='DistillationHook', checkpoint='nowhere', teacher=dict(
    type='Classifier', data_preprocessor=_base_.data_preprocessor, backbone=_base_.net)))
"""
BENCH = """
seeds = [0, 1]
runs = [
    dict(name='teacher', config='plain.py', seeds=[7], options={'train_cfg.max_epochs': 30}),
    dict(name='longer', config='plain.py', cost_of='KD'),
    dict(name='KD', config='kd.py', needs={'default_hooks.distillation.checkpoint': 'teacher'}),
]
"""


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Makes a bench whose data is not there; its ``longer`` costs what ``KD`` does."""
    (tmp_path / 'plain.py').write_text(PLAIN.format(base=REPO / 'configs' / '_base_'))
    (tmp_path / 'kd.py').write_text(KD)
    monkeypatch.chdir(tmp_path)

    def make(old: str = '', new: str = '', **kwargs) -> dict:
        Path('bench.py').write_text(BENCH.replace(old, new))
        return {run.name: run for run in Bench('bench.py', **kwargs).runs if run.seed != 1}

    return make


def macs(run, size: int = 32) -> float:
    return training_macs(run.cfg, size) * run.cfg.train_cfg.max_epochs


def told(run) -> Config:
    """The config as the run's child has it."""
    words = run.stage.command[run.stage.command.index('--cfg-options') + 1 :]
    options = {key: parse_value(value) for key, _, value in (word.partition('=') for word in words)}
    return load_config(run.config, {key: value for key, value in options.items() if 'randomness' not in key})


def test_a_run_is_as_long_as_costs_what_another_one_does(bench) -> None:
    runs = bench()
    assert list(runs) == ['teacher', 'longer', 'KD']  # the order of the file, though KD is planned first
    longer, kd = runs['longer'], runs['KD']
    assert kd.cfg.train_cfg.max_epochs == 8
    assert 8 < longer.cfg.train_cfg.max_epochs < 16
    assert macs(longer) == pytest.approx(macs(kd), rel=0.05)  # its teacher's 30 epochs are not in it
    assert longer.checkpoint.endswith(f'epoch_{longer.cfg.train_cfg.max_epochs}.pth')
    assert longer.cfg.param_scheduler.milestones[-1] == round(7 * longer.cfg.train_cfg.max_epochs / 8)
    assert told(longer).pretty_text == longer.cfg.pretty_text
    assert longer.config_sha256() != runs['teacher'].config_sha256()


def test_options_of_the_user_come_before(bench) -> None:
    usual = bench()['longer'].cfg
    chosen = {'param_scheduler.milestones': [4, 6], 'train_cfg.max_epochs': 12}
    longer = bench(options=chosen, words=as_words(chosen))['longer']
    assert longer.cfg.train_cfg.max_epochs == pytest.approx(1.5 * usual.train_cfg.max_epochs, abs=1)
    assert longer.cfg.param_scheduler.milestones[1] == longer.cfg.train_cfg.max_epochs // 2
    assert told(longer).pretty_text == longer.cfg.pretty_text
    assert longer.cfg.param_scheduler.milestones[0] == round(longer.cfg.train_cfg.max_epochs / 3)
    whole = {'param_scheduler': [{'type': 'MultiStepLR', 'milestones': [4]}]}
    longer = bench(options=whole, words=as_words(whole))['longer']
    assert told(longer).param_scheduler == longer.cfg.param_scheduler


@pytest.mark.parametrize('option', ['load_from', 'model.load_backbone_from'])
def test_what_a_run_goes_on_from_is_a_part_of_its_cost(bench, option) -> None:
    alone = bench()['longer'].cfg.train_cfg.max_epochs
    runs = bench(old="checkpoint': 'teacher'", new=f"checkpoint': 'teacher', '{option}': 'teacher'")
    assert runs['longer'].cfg.train_cfg.max_epochs == alone + 30
    assert [run.name for run in runs['KD'].lineage()] == ['KD', 'teacher']
    long = "dict(name='long', config='plain.py', options={'train_cfg.max_epochs': 80})"
    after = f"dict(name='after', config='plain.py', cost_of='long', needs={{'{option}': 'teacher'}})"
    runs = bench(old="cost_of='KD')", new=f"cost_of='KD'), {long}, {after}")
    assert runs['after'].cfg.train_cfg.max_epochs == 80 - 30


@pytest.mark.parametrize(
    'cost_of, more, said',
    [
        ('KD', "needs={'load_from': 'teacher'}", "'KD' does, and the training .* costs as much or more"),
        (
            'short',
            "options={'train_dataloader.dataset.pipeline.1.size': 64}",
            "'short' does, which would be 0.50 epochs",
        ),
    ],
)
def test_a_cost_that_no_number_of_epochs_meets(bench, cost_of, more, said) -> None:
    """The 30 epochs of the teacher cost more already; or one epoch costs as much as the other run and more."""
    short = "dict(name='short', config='plain.py', options={'train_cfg.max_epochs': 2})"
    change = dict(old="cost_of='KD')", new=f"cost_of='{cost_of}', {more}), {short}")
    with pytest.raises(UserError, match=f"'longer' in bench.py should cost what {said}"):
        bench(**change)
    assert bench(**change, smoke=True)['longer'].cfg.train_cfg.max_epochs == 1


def test_remembered_outputs_of_the_teacher(bench) -> None:
    """With them an epoch costs less the more there are."""
    new = "config='kd.py', cost_of='teacher', options={'default_hooks.distillation.cached_crops': 9}, needs"
    runs = bench("config='kd.py', needs", new)
    assert 24 < runs['KD'].cfg.train_cfg.max_epochs < 30
    assert macs(runs['KD']) == pytest.approx(macs(runs['teacher']), rel=0.04)


def test_other_images_are_counted(bench) -> None:
    usual = bench()['longer'].cfg.train_cfg.max_epochs
    for folder, count in (('data', 2), ('elsewhere', 6)):
        for name in ('bright', 'dark'):
            Path(folder, 'train', name).mkdir(parents=True)
            for number in range(count // 2):
                Path(folder, 'train', name, f'{number}.png').touch()  # read by nothing
    Path('others.py').write_text("_base_ = 'kd.py'\ntrain_dataloader = dict(dataset=dict(data_root='elsewhere'))\n")
    longer = bench("config='kd.py'", "config='others.py'")['longer']
    assert longer.cfg.train_cfg.max_epochs == pytest.approx(3 * usual, abs=1.5)


@pytest.mark.parametrize('file', ['cifar100_slice/bench.py', 'vehicles/cpu.py', 'vehicles/unlabelled.py'])
def test_the_benches_that_ship(file) -> None:
    with undrawn():
        runs = {run.name: run for run in Bench(str(REPO / 'configs' / 'bench' / file), [0]).runs}
        size = train_size(runs['plain'].cfg)
        plain, hsakd = macs(runs['plain, same cost'], size), macs(runs['HSAKD'], size)
    assert plain == pytest.approx(hsakd, rel=0.01)
    assert runs['plain'].cfg.train_cfg.max_epochs == runs['HSAKD'].cfg.train_cfg.max_epochs


def test_a_smoke_run_is_not_stretched(bench) -> None:
    assert bench(smoke=True)['longer'].cfg.train_cfg.max_epochs == 1


@pytest.mark.parametrize(
    'old, new, said',
    [
        ("cost_of='KD'", "cost_of='KDD'", "of 'longer' in bench.py should name another.*'KDD' .did you mean KD"),
        ("cost_of='KD'", "cost_of='longer'", "should name another of its runs, and it is 'longer'"),
        ("'teacher'})", "'teacher'}, cost_of='longer')", "'KD' itself depends on 'longer'"),
        ("checkpoint': 'teacher'", "checkpoint': 'longer'", "'KD' itself depends on 'longer'"),
        ("config='kd.py'", "config='steps.py'", "should count epochs, and .*steps.py of 'KD' sets no train_cfg.max"),
        ("config='kd.py'", "config='others.py'", 'those of ImageFolder in data could not be .*make the data'),
    ],
)
def test_mistakes(bench, old, new, said) -> None:
    Path('steps.py').write_text("_base_ = 'kd.py'\ntrain_cfg = dict(_delete_=True, by_epoch=False, max_iters=9)\n")
    Path('others.py').write_text("_base_ = 'kd.py'\ntrain_dataloader = dict(dataset=dict(data_root='elsewhere'))\n")
    with pytest.raises(UserError, match=said):
        bench(old=old, new=new)


def test_the_schedule_in_proportion() -> None:
    cfg = Config(
        dict(
            train_cfg=dict(max_epochs=20, val_interval=5, by_epoch=True),
            model=dict(ramp_up_epochs=4),
            param_scheduler=[
                dict(type='LinearLR', by_epoch=False, begin=0, end=100),
                dict(type='ConstantLR', begin=0, end=2),
                dict(type='CosineAnnealingLR', T_max=18, begin=2, end=20, by_epoch=True),
                dict(type='MultiStepLR', milestones=(10, 15), end=10**9),
            ],
        )
    )
    options = stretched(cfg, 50)
    warm_up, constant, cosine, steps = options.pop('param_scheduler')
    assert options == {'train_cfg.max_epochs': 50, 'train_cfg.val_interval': 12, 'model.ramp_up_epochs': 10.0}
    assert warm_up == cfg.param_scheduler[0] and (constant['begin'], constant['end']) == (0, 5)
    assert (cosine['T_max'], cosine['begin'], cosine['end']) == (45, 5, 50)
    assert steps['milestones'] == [25, 38] and steps['end'] == 10**9
    shorter = stretched(cfg, 1)
    assert shorter['train_cfg.val_interval'] == 1
    assert all(each['end'] > each.get('begin', 0) for each in shorter['param_scheduler'])
