"""An update that is left out, and a checkpoint that is written between its batches."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from torch import nn

from hsakd_mm.engine.hooks.finite_hook import SKIPPED, SPOILT
from hsakd_mm.registry import MODELS
from tests.faults.exact import SignalAt, assert_same, content, start, stop_and_resume
from tests.faults.nan import NaNImage  # noqa: F401  registers it
from tests.tools.commands import TINY
from tests.tools.tiny import TinyModel

ROW = 'One non-finite loss or gradient; a learning rate of 1e6'


@MODELS.register_module()
class TinyNorm(TinyModel):
    """With statistics, which a NaN in an image spoils."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.line = nn.Sequential(nn.BatchNorm1d(4), self.line)


def accumulating(counts: int = 3, bad: int = 0, **changes) -> Config:
    """Eight steps, one of which, counted from 0, sees a NaN and may be skipped."""
    cfg = Config.fromfile(TINY)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.model.type = 'TinyNorm'
    cfg.optim_wrapper.accumulative_counts = counts
    cfg.default_hooks.finite = dict(type='FiniteHook', max_skipped=1)
    cfg.custom_hooks = [dict(type='NaNImage', steps=(bad,)), dict(type='EMAHook', momentum=0.1, update_buffers=True)]
    cfg.merge_from_dict(changes)
    return cfg


@pytest.mark.parametrize('bad, stop', [(0, 1), (3, 4), (3, 5), (4, 5), (3, 6)])
def test_stopped_between_its_batches(bad, stop, tmp_path, seen) -> None:
    """Before its last batch the update is still due; at step 6 it was left out."""
    cfg = accumulating(bad=bad)
    start(cfg, tmp_path / 'whole').train()
    MessageHub._instance_dict.clear()
    resumed = stop_and_resume(cfg, tmp_path / 'run', SignalAt(step=stop))
    assert_same(content(tmp_path / 'whole'), content(tmp_path / 'run'))
    assert resumed.message_hub.get_info(SKIPPED) == 1 and SPOILT not in resumed.message_hub.runtime_info
    seen(ROW, 'a NaN that may be skipped, SIGTERM before the accumulated update', 'status 75; the same bits')


def test_stopped_after_each_of_its_batches(tmp_path) -> None:
    cfg = accumulating(counts=4, bad=0)
    start(cfg, tmp_path / 'whole').train()
    for step in (1, 2, 3):
        MessageHub._instance_dict.clear()
        runner = start(cfg, tmp_path / 'run', **({'resume': True} if step > 1 else {}))
        runner.register_hook(SignalAt(step=step))
        with pytest.raises(SystemExit):
            runner.train()
    MessageHub._instance_dict.clear()
    start(cfg, tmp_path / 'run', resume=True).train()
    assert_same(content(tmp_path / 'whole'), content(tmp_path / 'run'))


@pytest.mark.parametrize(
    'checkpoint', [dict(type='CheckpointHook', interval=1), dict(type='CheckpointHook', by_epoch=False, interval=1)]
)
def test_saved_between_its_batches(checkpoint, tmp_path) -> None:
    """At the end of an epoch, or at every step: the statistics are those before the update."""
    cfg = accumulating(counts=3, bad=3)
    cfg.default_hooks.checkpoint, cfg.custom_hooks = checkpoint, cfg.custom_hooks[:1]  # no average
    start(cfg, tmp_path).train()
    name = 'epoch_1.pth' if checkpoint.get('by_epoch', True) else 'iter_4.pth'
    saved = torch.load(Path(tmp_path, name), weights_only=False)
    assert saved['state_dict']['line.0.num_batches_tracked'] == 3
    assert saved['message_hub']['runtime_info'][SPOILT]


def test_another_length_of_an_update_begins_a_new_one(tmp_path) -> None:
    """The run goes on where no update of the new length is under way: none is left out for the old one."""
    stopped = start(accumulating(counts=4, bad=0), tmp_path)
    stopped.register_hook(SignalAt(step=2))
    with pytest.raises(SystemExit):
        stopped.train()
    MessageHub._instance_dict.clear()
    resumed = start(accumulating(counts=2), tmp_path, resume=True)
    resumed.train()
    assert SPOILT not in resumed.message_hub.runtime_info
    assert resumed.model.line[0].num_batches_tracked == 6
