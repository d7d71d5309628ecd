"""The comparison of two installations' operators; the two detectors themselves are not run here."""
import copy
import importlib.util

import pytest

from tests.conftest import REPO

from .commands import assert_sentence, python

SCRIPT = REPO / 'tools' / 'analysis_tools' / 'compare_operators.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('compare_operators', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def record() -> dict:
    boxes = [[10., 10., 40., 20.], [5., 30., 20., 20.]]
    return dict(
        classes=['bus', 'car', 'absent'],
        images=[dict(id=0, file='a.jpg', width=64, height=64)],
        truth=[dict(image=0, label=label, bbox=box, ignore=False)
               for label, box in enumerate(boxes)],
        found=[dict(image=0, label=label, bbox=box, score=0.5) for label, box in enumerate(boxes)])


def test_the_same_detections(tool, record) -> None:
    found = tool.compare([record, copy.deepcopy(record)])
    assert found['AP'] == [pytest.approx(100)] * 2 and found['detections'] == [2, 2]
    assert found['difference'] == 0 and found['largest_distance'] == 0


def test_a_class_that_lost_is_seen_though_another_won(tool, record) -> None:
    one, other = copy.deepcopy(record), copy.deepcopy(record)
    one['found'][0]['bbox'], other['found'][1]['bbox'] = [0., 0., 5., 5.], [0., 0., 5., 5.]
    found = tool.compare([one, other])
    assert found['AP'][0] == pytest.approx(found['AP'][1])
    assert found['difference'] == pytest.approx(100)
    assert found['largest_distance'] == 35


def test_an_interpreter_without_mmcv(tmp_path) -> None:
    other = tmp_path / 'python'
    other.write_text('#!/bin/sh\necho "ModuleNotFoundError: No module named mmcv" >&2\nexit 1\n')
    other.chmod(0o755)
    done = python(SCRIPT, 'configs/transfer/faster-rcnn_r18_fpn_vehicles.py', 'a.pth', other, cwd=REPO)
    assert_sentence(done, 'No module named mmcv', str(other))
