"""Two processes: stopped and resumed to the same bits, and the same training as one with the whole batch."""

import pytest
import torch
from mmengine.hooks import EMAHook, Hook

from hsakd_mm.engine.launch import prepare_launcher
from tests.faults import two
from tests.faults.command import TWO
from tests.faults.exact import SignalAt, assert_same, content, start
from tests.faults.jobs import free_port
from tests.faults.test_exact_resume import ROW, augmented  # noqa: F401  a fixture
from tests.test_every_method import METHODS, config  # noqa: F401  a fixture


def stopped_and_resumed(cfg, folder, step: int) -> None:
    cfg.train_dataloader.batch_size = 4
    assert two.run(cfg, folder / 'whole') == [0, 0]
    assert two.run(cfg, folder / 'stopped', SignalAt(step=step)) == [75, 75]
    assert two.run(cfg, folder / 'stopped', resume=True) == [0, 0]
    assert_same(content(folder / 'whole'), content(folder / 'stopped'))


def test_stopped_within_an_update(augmented, tmp_path, seen) -> None:  # noqa: F811
    """CRD has memory banks; each rank has BatchNorm statistics, and gradients, of its own."""
    cfg = augmented(METHODS['crd/CRD'])
    cfg.optim_wrapper.accumulative_counts = 3
    stopped_and_resumed(cfg, tmp_path, 2)
    seen(ROW, 'SIGTERM to one, after 2 of 3 accumulated steps', 'both end with 75; the same bits', TWO, 'crd/CRD')


def test_stopped_before_a_validation(augmented, tmp_path, seen) -> None:  # noqa: F811
    """RSKD has a pseudo-teacher; the validation averages the ranks' statistics, and training goes on with the mean."""
    cfg = augmented(METHODS['rskd/RSKD'])
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=5, val_interval=3)
    cfg.param_scheduler = None
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=3)
    stopped_and_resumed(cfg, tmp_path, 3)
    assert {path.name for path in (tmp_path / 'stopped').glob('*.pth')} == {'iter_3.pth', 'iter_5.pth'}
    seen(ROW, 'SIGTERM to one, counted by steps, before a validation', 'the same bits', TWO, 'rskd/RSKD')


class Statistics(Hook):
    """Writes the average of this rank's BatchNorm statistics at the end."""

    def __init__(self, path) -> None:
        self.path = path

    def after_train(self, runner) -> None:
        average = next(hook for hook in runner.hooks if isinstance(hook, EMAHook)).ema_model
        torch.save(dict(average.module.named_buffers()), self.path)


def test_each_rank_keeps_the_average_of_its_statistics(augmented, tmp_path) -> None:  # noqa: F811
    """Those of rank 1, which has hooks here: it validates with them."""
    cfg = augmented()
    cfg.train_dataloader.batch_size = 4
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.1, update_buffers=True)]
    whole, resumed = tmp_path / 'whole.pth', tmp_path / 'resumed.pth'
    assert two.run(cfg, tmp_path / 'whole', Statistics(whole)) == [0, 0]
    assert two.run(cfg, tmp_path / 'stopped', SignalAt(step=2)) == [75, 75]
    assert two.run(cfg, tmp_path / 'stopped', Statistics(resumed), resume=True) == [0, 0]
    assert_same(torch.load(whole), torch.load(resumed))


@pytest.mark.parametrize('dtype, limit, epochs', [(torch.float64, 1e-12, 4), (torch.float32, 1e-4, 1)])
def test_two_processes_train_as_one(dtype, limit, epochs, augmented, tmp_path, seen) -> None:  # noqa: F811
    """HSAKD, three steps an epoch, the last batch of an epoch smaller, gradients accumulated over two steps.

    What is left in float32 and not in float64 is due to the order of summation, which each kind of CPU
    has of its own and which grows with every step: so one epoch of it.
    """
    cfg = augmented(METHODS['hsakd/HSAKD'])
    cfg.train_dataloader.update(batch_size=8, drop_last=False)
    cfg.train_dataloader.dataset.indices = list(range(0, 72, 2))  # 36 images: two batches of 16, one of 4
    cfg.train_cfg.max_epochs = epochs
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.optim_wrapper.accumulative_counts = 2
    cfg.optim_wrapper.optimizer.lr = 1e-3  # BatchNorm with the statistics of untrained weights does not hold more
    assert two.run(cfg, tmp_path / 'two', two.Comparable(dtype)) == [0, 0]
    cfg.train_dataloader.batch_size = 16
    assert two.run(cfg, tmp_path / 'one', two.Comparable(dtype), ranks=1) == [0]
    one, both = (content(tmp_path / name) for name in ('one', 'two'))
    assert one.keys() == both.keys()
    worst = max((one[key] - both[key]).abs().max().item() for key in one if one[key].is_floating_point())
    assert any(each.dtype == dtype for each in one.values()) and worst < limit
    row = 'Two processes with half the batch each, and one with all of it'
    name = str(dtype).removeprefix('torch.')
    seen(row, f'{3 * epochs} steps in {name}, frozen BatchNorm', f'the same to {worst:.0e}', TWO, 'hsakd/HSAKD')


@pytest.mark.parametrize('method', METHODS)
def test_every_method_has_one_static_graph(method, augmented, tmp_path, monkeypatch) -> None:  # noqa: F811
    """DistributedDataParallel with ``static_graph`` and bucket views, in one process: the steps of one without it."""
    cfg = augmented(METHODS[method])
    start(cfg, tmp_path / 'plain').train()
    values = dict(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free_port()))
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    prepare_launcher(cfg, 'pytorch')
    try:
        runner = start(cfg, tmp_path / 'wrapped')
        assert runner.model.static_graph and runner.model.gradient_as_bucket_view
        runner.train()
    finally:
        torch.distributed.destroy_process_group()
    assert_same(content(tmp_path / 'plain'), content(tmp_path / 'wrapped'))
