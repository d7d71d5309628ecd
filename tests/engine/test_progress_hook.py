"""What a training tells a parent process of its progress."""

import json
from types import SimpleNamespace

import pytest

from hsakd_mm.engine.hooks import progress_hook
from hsakd_mm.engine.hooks.progress_hook import ProgressHook


def test_time_left_is_not_known_from_a_validation_alone(tmp_path, monkeypatch) -> None:
    """A run that was stopped before a validation goes on with it: that is no step, and lasts as long as many."""
    clock = iter([0.0, 30.0, 40.0])
    monkeypatch.setattr(progress_hook, 'time', SimpleNamespace(monotonic=lambda: next(clock)))
    told = tmp_path / 'progress.json'
    runner = SimpleNamespace(
        iter=100, epoch=10, max_iters=200, train_loop=None, message_hub=SimpleNamespace(log_scalars={})
    )
    hook = ProgressHook(str(told), interval=-1.0)
    hook.before_train(runner)
    hook.after_val_epoch(runner, {'accuracy/top1': 50.0})
    assert json.loads(told.read_text())['seconds_left'] is None
    monkeypatch.setattr(progress_hook, 'time', SimpleNamespace(monotonic=lambda: 40.0))
    runner.iter = 103
    hook.after_train_iter(runner, 0)
    assert json.loads(told.read_text())['seconds_left'] == pytest.approx(10 * 96)
