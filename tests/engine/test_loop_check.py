"""Loops that take no step, and a last batch that cannot be trained on: refused before anything is saved."""

from pathlib import Path

import pytest
from mmengine.runner import Runner

from hsakd_mm.engine.hooks.loop_check_hook import LoopCheckHook
from hsakd_mm.engine.training import train
from hsakd_mm.engine.user_messages import user_message
from hsakd_mm.errors import UserError
from tests.conftest import REPO

BATCH, LAST = 'train_dataloader.batch_size', 'train_dataloader.drop_last'
INDICES = 'train_dataloader.dataset.indices'
BY_ITERATION = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=4, val_interval=10)


@pytest.mark.parametrize(
    'changes, said',
    [
        (
            {BATCH: 128, LAST: True},
            'whose 64 images do not fill one of 128: set train_dataloader.batch_size=64 or less',
        ),
        ({BATCH: 65, LAST: True}, 'train_dataloader.drop_last=False'),
        ({BATCH: 128, LAST: True, 'train_cfg': BY_ITERATION}, 'do not fill one of 128'),
        ({'train_cfg.max_epochs': 0}, 'train_cfg.max_epochs is 0'),
        ({'train_cfg': dict(BY_ITERATION, max_iters=0)}, 'train_cfg.max_iters is 0'),
        ({'val_dataloader.batch_size': 100, 'val_dataloader.drop_last': True}, 'of the val data in'),
        ({INDICES: 33, BATCH: 32, LAST: False}, 'the last batch of an epoch has one of the 33 images'),
        ({INDICES: 64, BATCH: 63, LAST: False}, 'the last batch of an epoch has one of the 64 images'),
        ({INDICES: 64, BATCH: 1}, 'maps of 1 x 1 pixel'),
    ],
)
def test_nothing_is_saved_that_was_not_trained(config, changes, said) -> None:
    cfg = config('plain', **changes)
    cfg.experiment_name = str(changes)
    with pytest.raises(UserError, match=said):
        train(Runner.from_cfg(cfg))
    assert not list(Path(cfg.work_dir).rglob('*.pth'))


@pytest.mark.parametrize('changes', [{INDICES: 33, BATCH: 32, LAST: True}, {INDICES: 34, BATCH: 32, LAST: False}])
def test_other_last_batches_are_trained(config, run, changes) -> None:
    assert run(config('plain', **changes)).iter == 1 + (not changes[LAST])


@pytest.mark.parametrize('loop', ['IterBasedTrainLoop', 'hsakd_mm.ExactIterLoop'])
def test_an_infinite_sampler_has_no_last_batch(config, loop) -> None:
    endless = {'train_dataloader.sampler': dict(type='InfiniteSampler', shuffle=True)}
    by_iteration = dict(BY_ITERATION, type=loop, _delete_=True)  # which the merging takes out
    cfg = config('plain', **endless, **{INDICES: 33, BATCH: 32, LAST: False, 'train_cfg': by_iteration})
    cfg.param_scheduler, cfg.experiment_name = None, loop
    runner = Runner.from_cfg(cfg)
    train(runner)
    assert runner.iter == 4


def test_four_views_of_one_image_are_a_batch(config, run) -> None:
    assert run(config('teacher', **{INDICES: 33, BATCH: 32, LAST: False})).iter == 2


def test_a_run_by_hand_has_the_check_too(config) -> None:
    cfg = config('plain', **{BATCH: 128, LAST: True})
    cfg.param_scheduler = []  # mmengine's own are built before a hook is asked
    with pytest.raises(UserError, match='at least one batch was expected of the train data'):
        Runner.from_cfg(cfg).train()


def test_mmdets_configs_get_the_check(monkeypatch, demo_data, tmp_path) -> None:
    pytest.importorskip('mmdet', reason='mmdet is not installed')
    from hsakd_mm.engine.preflight import load_config

    cfg = load_config(str(REPO / 'configs' / 'demo' / 'faster_rcnn.py'))
    cfg.train_dataloader.dataset.update(data_root=f'{demo_data}/scenes/', indices=3)
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False, batch_size=8, drop_last=True)
    cfg.train_dataloader.pop('batch_sampler', None)
    cfg.model.backbone.init_cfg = None
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = None
    cfg.work_dir = str(tmp_path)
    with pytest.raises(UserError, match='whose 3 images do not fill one of 8'):
        train(Runner.from_cfg(cfg))
    assert not list(tmp_path.rglob('*.pth'))


@pytest.mark.parametrize('empty', [{'indices': []}, {'indices': 0}])
def test_an_empty_dataset_is_named(config, empty) -> None:
    cfg = config('plain')
    cfg.train_dataloader.dataset.update(empty)
    with pytest.raises(ValueError) as caught:
        train(Runner.from_cfg(cfg))
    said = user_message(caught.value)
    assert said.startswith('images were expected in the ImageFolder of ') and 'indices' in said


def test_a_checkpoint_of_the_first_step_is_saved(config, run) -> None:
    by_step = {'default_hooks.checkpoint': dict(type='CheckpointHook', by_epoch=False, interval=1)}
    runner = run(config('plain', **by_step))
    assert sorted(path.name for path in Path(runner.work_dir).glob('*.pth')) == ['iter_1.pth', 'iter_2.pth']


def test_no_checkpoint_without_a_step(config, run) -> None:
    runner = run(config('plain'))
    LoopCheckHook().before_save_checkpoint(runner, {})
    runner.train_loop._iter = 0
    with pytest.raises(UserError, match='no step was taken'):
        runner.call_hook('before_save_checkpoint', checkpoint=dict(meta={}))


def test_a_best_metric_that_is_not_measured(config, run) -> None:
    with pytest.raises(KeyError) as caught:
        run(config('plain', **{'default_hooks.checkpoint.save_best': 'top1'}))
    said = user_message(caught.value)
    assert '(accuracy/top1), and it is top1: correct the name' in said
