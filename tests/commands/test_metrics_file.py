"""hsakd-mm test: a checkpoint or the folder of a run, and its metrics as JSON."""

import json
import sys

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric

from hsakd_mm.commands import test as command
from hsakd_mm.registry import METRICS
from tests.tools.commands import TINY
from tests.tools.tiny import TinyModel

VALUES = {
    'number': (np.float32(0.5), 0.5),
    'count': (3, 3.0),
    'matrix': (np.eye(2, dtype=int), [[1.0, 0.0], [0.0, 1.0]]),
    'tensor': (torch.ones(2), [1.0, 1.0]),
    'scalar': (torch.tensor(2), 2.0),
    'by_class': ({'cat': np.float64(0.25)}, {'cat': 0.25}),
    'names': (['a', None], ['a', None]),
}


class ManyKinds(BaseMetric):
    """Returns what metrics of other projects return: arrays beside numbers."""

    default_prefix = 'many'

    def process(self, data_batch, data_samples) -> None:
        self.results.append(0)

    def compute_metrics(self, results) -> dict:
        return {name: value for name, (value, _) in VALUES.items()}


@pytest.fixture
def registered():
    METRICS.register_module(module=ManyKinds)
    yield
    METRICS.module_dict.pop('ManyKinds')


def test_arrays_are_written_as_lists(registered, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(dict(state_dict=TinyModel().state_dict()), 'a.pth')
    words = ['test', str(TINY), 'a.pth', '--out', 'm.json', '--cfg-options', 'test_evaluator.type=ManyKinds']
    monkeypatch.setattr(sys, 'argv', words)
    command.main()
    metrics = json.loads((tmp_path / 'm.json').read_text())['metrics']
    assert metrics == {f'many/{name}': expected for name, (_, expected) in VALUES.items()}


def test_a_work_directory_stands_for_its_checkpoint(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'run').mkdir()
    torch.save(dict(state_dict=TinyModel().state_dict()), 'run/epoch_2.pth')
    (tmp_path / 'run' / 'last_checkpoint').write_text('run/epoch_2.pth')
    monkeypatch.setattr(sys, 'argv', ['test', str(TINY), 'run', '--out', 'm.json'])
    command.main()
    assert json.loads((tmp_path / 'm.json').read_text())['checkpoint'] == 'run/epoch_2.pth'
