"""The whole run's benchmark: a training as a user's, timed after its first steps."""

import json
import sys

import pytest

from benchmarks import benchmark_run
from hsakd_mm.errors import UserError
from tests.conftest import REPO


def test_a_run_is_timed(tmp_path, monkeypatch, capsys) -> None:
    narrow = [
        f'{owner}.backbone.{key}={value}'
        for owner in ('model', 'default_hooks.distillation.teacher')
        for key, value in (('channels', '[8,8,16,16]'), ('num_classes', 5))
    ]
    config, out = str(REPO / 'configs/hsakd/imagenet_r34_r18.py'), tmp_path / 'run.json'
    sizes = ['--batch', '2', '--size', '32', '--steps', '2', '--workers', '0']
    monkeypatch.setattr(sys, 'argv', ['run', config, *sizes, '--out', str(out), '--cfg-options', *narrow])
    benchmark_run.main()
    report = json.loads(out.read_text())
    assert report['images/s'] > 0 and report['size'] == 32 and report['commit']
    assert f'{report["images/s"]:.1f} images/s' in capsys.readouterr().out


@pytest.mark.parametrize('words', [['--steps', '0'], ['--batch', '0'], ['--workers', '-1']])
def test_numbers_that_time_nothing_are_refused(words, monkeypatch) -> None:
    monkeypatch.setattr(sys, 'argv', ['run', 'config.py', '--out', 'run.json', *words])
    with pytest.raises(UserError, match='are positive numbers'):
        benchmark_run.main()
