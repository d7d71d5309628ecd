"""A run that was stopped and resumed is the run: every method, bit for bit, at any step, with any loop."""

import multiprocessing
import signal

import pytest
import torch
from mmengine.config import Config

from hsakd_mm.engine.hooks.preemption_hook import listen
from tests.faults.exact import SignalAt, assert_same, content, start, stop_and_resume
from tests.faults.jobs import gone
from tests.test_every_method import METHODS, config  # noqa: F401  a fixture

ROW = 'Stopped at a step and resumed'
AUGMENTED = [
    dict(type='LoadImage'),
    dict(type='torchvision/RandomCrop', size=32, padding=4),
    dict(type='torchvision/ColorJitter', brightness=0.4),
    dict(type='PackInputs', with_index=True),
]


@pytest.fixture
def augmented(config):  # noqa: F811
    torch.set_num_threads(1)

    def small(name: str = 'baselines/imagenet_r18') -> Config:
        cfg = config(name)
        cfg.train_dataloader.dataset.pipeline = AUGMENTED
        cfg.train_dataloader.batch_size = 8
        cfg.train_cfg.max_epochs = 1
        return cfg

    return small


@pytest.mark.parametrize('method', METHODS)
def test_accumulation_and_ema(method, augmented, tmp_path, seen) -> None:
    stopped_within_an_update(augmented(METHODS[method]), tmp_path)
    seen(ROW, 'SIGTERM after 2 of 3 accumulated steps, with EMA', 'the same bits', method=method)


@pytest.mark.parametrize('method', ['baselines/KD', 'crd/CRD'])  # bfloat16 is slow on CPUs without it
def test_amp(method, augmented, tmp_path, seen) -> None:
    cfg = augmented(METHODS[method])
    cfg.optim_wrapper.type = 'AutocastOptimWrapper'
    stopped_within_an_update(cfg, tmp_path)
    seen(ROW, 'SIGTERM after 2 of 3 accumulated steps, with EMA and bf16 autocast', 'the same bits', method=method)


def stopped_within_an_update(cfg: Config, folder) -> None:
    cfg.optim_wrapper.accumulative_counts = 3
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.1)]
    start(cfg, folder / 'whole').train()
    stop_and_resume(cfg, folder / 'stopped', SignalAt(step=2))
    assert_same(content(folder / 'whole'), content(folder / 'stopped'))


@pytest.mark.parametrize('workers, persistent', [(1, True), (2, False)])
def test_workers_make_no_difference(workers, persistent, augmented, tmp_path, seen) -> None:
    cfg = augmented()
    cfg.train_cfg.max_epochs = 2
    start(cfg, tmp_path / 'whole').train()
    cfg.train_dataloader.update(num_workers=workers, persistent_workers=persistent)
    stop_and_resume(cfg, tmp_path / 'stopped', SignalAt(step=7))
    assert_same(content(tmp_path / 'whole'), content(tmp_path / 'stopped'))
    seen(ROW, f'SIGTERM in epoch 2, {workers} workers, persistent: {persistent}', 'the bits of the run without workers')


def test_epochs_and_images_are_augmented_differently(augmented, tmp_path) -> None:
    cfg = augmented()
    runner = start(cfg, tmp_path)
    loader, views = runner.train_dataloader, {}
    for epoch in (0, 1, 0):
        loader.batch_sampler.start_at(epoch)
        runner.train_loop.sampler.sampler.shuffle = False
        views.setdefault(epoch, []).append(torch.cat([torch.stack(list(batch['inputs'])) for batch in loader]))
    assert torch.equal(*views[0])
    assert (views[0][0] != views[1][0]).flatten(1).any(1).float().mean() > 0.95


@pytest.mark.parametrize('sampler', ['InfiniteSampler', 'DefaultSampler'])
def test_counted_by_steps(sampler, augmented, tmp_path, seen) -> None:
    cfg = augmented()
    cfg.train_dataloader.sampler = dict(type=sampler, shuffle=True)
    cfg.train_dataloader.num_workers = 1
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=10, val_interval=5)
    cfg.param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones=[4])]
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=5, max_keep_ckpts=1)
    start(cfg, tmp_path / 'whole').train()
    resumed = stop_and_resume(cfg, tmp_path / 'stopped', SignalAt(step=7))
    assert_same(content(tmp_path / 'whole'), content(tmp_path / 'stopped'))
    # Batches 7, 8, 9, and what the worker prepared beyond the end.
    assert min(resumed.train_loop.sampler.recent) == 7
    assert [path.name for path in (tmp_path / 'stopped').glob('*.pth')] == ['iter_10.pth']
    seen(ROW, f'SIGTERM at step 7 of 10, IterBasedTrainLoop, {sampler}', 'the same bits; no batch was read again')


def test_a_checkpoint_inside_an_epoch(augmented, tmp_path, seen) -> None:
    """Saved every 3 steps of epochs of 4: the last weights are in a file, and none is trained on twice."""
    cfg = augmented()
    cfg.train_cfg.max_epochs = 2
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=3, max_keep_ckpts=1)
    start(cfg, tmp_path / 'whole').train()
    stop_and_resume(cfg, tmp_path / 'stopped', SignalAt(step=7))
    assert (tmp_path / 'stopped' / 'last_checkpoint').read_text().endswith('iter_8.pth')
    assert_same(content(tmp_path / 'whole'), content(tmp_path / 'stopped'))
    seen(ROW, 'checkpoints every 3 steps of epochs of 4', 'the last weights are in iter_8.pth; the same bits')


def test_a_pool_ends_its_workers_while_a_run_listens() -> None:
    listen()
    worker = multiprocessing.get_context('fork').Process(target=signal.pause)
    worker.start()
    worker.terminate()
    ended = gone([worker.pid])
    worker.kill()
    worker.join()
    assert ended


@pytest.mark.parametrize('ema', [False, True])
def test_a_validation_that_is_cut_off_is_made_up(ema, augmented, tmp_path, seen) -> None:
    cfg = augmented()
    cfg.train_cfg.max_epochs = 2
    cfg.val_dataloader.update(batch_size=16, num_workers=1)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1, max_keep_ckpts=1, save_best='accuracy/top1')
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.1)] if ema else []
    whole = start(cfg, tmp_path / 'whole')
    whole.train()
    resumed = stop_and_resume(cfg, tmp_path / 'stopped', SignalAt(validation=4))
    assert_same(content(tmp_path / 'whole'), content(tmp_path / 'stopped'))
    scores = [each.message_hub.log_scalars['val/accuracy/top1']._log_history.tolist() for each in (whole, resumed)]
    assert scores[0] == scores[1] and len(scores[0]) == 2
    best = [sorted(path.name for path in (tmp_path / name).glob('best*.pth')) for name in ('whole', 'stopped')]
    assert best[0] == best[1]
    seen(
        'SIGTERM or SIGUSR1',
        f'in the first validation{", with EMA" if ema else ""}',
        'status 75; resumed: it is made up',
    )


def test_another_batch_size_goes_on_at_the_same_image(augmented, tmp_path) -> None:
    cfg = augmented()
    cfg.param_scheduler = None
    cfg.train_cfg.max_epochs = 2
    stopped = start(cfg, tmp_path)
    stopped.register_hook(SignalAt(step=6))  # 16 images of epoch 2
    with pytest.raises(SystemExit):
        stopped.train()
    cfg.train_dataloader.batch_size = 4
    resumed = start(cfg, tmp_path, resume=True)
    resumed.train()
    assert min(resumed.train_loop.sampler.recent) == 4 and resumed.iter == 16


def test_a_schedule_of_steps_keeps_its_share_of_the_run(augmented, tmp_path) -> None:
    """Stopped after half of the run, resumed with half the batch: the cosine ends where the run does."""
    cfg = augmented()
    cfg.train_cfg.max_epochs = 2
    cfg.param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True, T_max=2)]
    stopped = start(cfg, tmp_path)
    stopped.register_hook(SignalAt(step=4))
    with pytest.raises(SystemExit):
        stopped.train()
    first, rate = stopped.optim_wrapper.get_lr()['lr'][0], cfg.optim_wrapper.optimizer.lr
    cfg.train_dataloader.batch_size = 4
    resumed = start(cfg, tmp_path, resume=True)
    resumed.train()
    assert first == pytest.approx(rate / 2) and resumed.iter == 16
    assert resumed.optim_wrapper.get_lr()['lr'][0] < rate / 50
