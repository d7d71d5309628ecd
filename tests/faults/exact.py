"""Runs that are stopped at a step and resumed, in this process or in two."""

import copy
import multiprocessing
import os
import signal

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from hsakd_mm.checkpoints.work_dir import last_checkpoint
from hsakd_mm.engine.exact import make_exact
from hsakd_mm.engine.hooks import preemption_hook


class SignalAt(Hook):
    """A SIGTERM that reaches this rank and the workers that load its images, as Slurm sends it, during a step or a
    batch of a validation."""

    def __init__(self, step: int | None = None, validation: int | None = None) -> None:
        self.step, self.validation = step, validation

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter + 1 == self.step:
            self._send()

    def before_val_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == self.validation and batch_idx == 1:
            self._send()

    @staticmethod
    def _send() -> None:
        for process in (*multiprocessing.active_children(), multiprocessing.current_process()):
            os.kill(process.pid, signal.SIGTERM)


def start(cfg: Config, folder, **changes) -> Runner:
    """A runner of a copy of the config, as tools/train.py prepares it."""
    cfg = Config({**copy.deepcopy(cfg.to_dict()), **changes})
    make_exact(cfg)
    cfg.work_dir = str(folder)
    cfg.experiment_name = f'{folder}-{len(changes)}'  # mmengine keeps loggers by this name
    preemption_hook._received.clear()
    return Runner.from_cfg(cfg)


def stop_and_resume(cfg: Config, folder, hook: Hook, **changes) -> Runner:
    """Train until the signal, which ends with status 75, then to the end."""
    stopped = start(cfg, folder)
    stopped.register_hook(hook)
    with pytest.raises(SystemExit) as ended:
        stopped.train()
    assert ended.value.code == 75
    resumed = start(cfg, folder, resume=True, **changes)
    resumed.train()
    return resumed


def content(folder) -> dict:
    """All tensors of the last checkpoint of a work directory, by their place in it."""
    return dict(_tensors(torch.load(last_checkpoint(str(folder)), weights_only=False)))


def _tensors(value, place=''):
    if isinstance(value, torch.Tensor):
        yield place, value
    elif isinstance(value, dict):
        for key, each in value.items():
            if key not in ('message_hub', 'meta'):
                yield from _tensors(each, f'{place}.{key}')
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _tensors(each, f'{place}.{number}')


def assert_same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    assert not [key for key, value in one.items() if not torch.equal(value, other[key])]
