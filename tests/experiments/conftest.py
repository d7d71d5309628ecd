import json
import sys

import pytest

from hsakd_mm.experiments import detector_run as run
from hsakd_mm.experiments.detector_run import DetectorRun
from tests.conftest import REPO
from tests.tools.prestarted import prestarted

DEMO = str(REPO / 'configs' / 'demo' / 'faster_rcnn.py')


@pytest.fixture(autouse=True)
def runs_start_with_imports_done(monkeypatch) -> None:
    monkeypatch.setattr(sys, 'executable', prestarted())


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Makes a run without training it; ``started.commands`` is what it would have run."""

    def make(checkpoint: str = 'random', **kwargs) -> DetectorRun:
        return DetectorRun(checkpoint, DEMO, **kwargs)

    def child(command, title, log) -> None:
        make.commands.append(command)
        if '--out' in command:
            with open(command[command.index('--out') + 1], 'w') as file:
                json.dump(dict(metrics=make.metrics), file)

    make.commands, make.metrics = [], {'coco/bbox_mAP': 0.25}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, 'run_child', child)
    return make
