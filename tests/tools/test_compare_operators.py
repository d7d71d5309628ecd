"""The comparison of two installations' operators; the two detectors themselves are not run here."""

import copy
import importlib.util
import sys

import pytest

from hsakd_mm.errors import UserError
from tests.conftest import REPO

from .commands import assert_sentence, module, python

SCRIPT = REPO / 'tools' / 'analysis_tools' / 'compare_operators.py'
needs_mmdet = pytest.mark.skipif(importlib.util.find_spec('mmdet') is None, reason='mmdet is not installed')


@pytest.fixture(scope='module')
def tool():
    return module(SCRIPT)


@pytest.fixture
def record() -> dict:
    boxes = [[10.0, 10.0, 40.0, 20.0], [5.0, 30.0, 20.0, 20.0]]
    return dict(
        classes=['bus', 'absent', 'car'],
        images=[dict(id=0, file='a.jpg', width=64, height=64)],
        truth=[dict(image=0, label=label, bbox=box, ignore=False) for label, box in zip((0, 2), boxes)],
        found=[dict(image=0, label=label, bbox=box, score=0.5) for label, box in zip((0, 2), boxes)],
    )


def test_the_same_detections(tool, record) -> None:
    found = tool.compare([record, copy.deepcopy(record)])
    assert found['AP'] == [pytest.approx(100)] * 2 and found['detections'] == [2, 2]
    assert found['difference'] == 0 and set(found['per_class']) == {'bus', 'car'}


def test_a_class_that_lost_is_seen_though_another_won(tool, record) -> None:
    one, other = copy.deepcopy(record), copy.deepcopy(record)
    one['found'][0]['bbox'], other['found'][1]['bbox'] = [0.0, 0.0, 5.0, 5.0], [0.0, 0.0, 5.0, 5.0]
    found = tool.compare([one, other])
    assert found['AP'][0] == pytest.approx(found['AP'][1])
    assert found['difference'] == pytest.approx(100)


def test_what_shows_nothing_is_refused(tool, record) -> None:
    with pytest.raises(UserError, match='the same images'):
        tool.compare([record, dict(record, truth=record['truth'][:1])])
    with pytest.raises(UserError, match='have none'):
        tool.compare([dict(record, truth=[])] * 2)


@needs_mmdet
def test_the_same_operators_twice(tool) -> None:
    with pytest.raises(UserError, match='the operators of both are'):
        tool.installations([sys.executable] * 2)


def test_an_interpreter_without_mmcv(tool, tmp_path) -> None:
    other = tmp_path / 'python'
    other.write_text('#!/bin/sh\necho "ModuleNotFoundError: No module named mmcv" >&2\nexit 1\n')
    other.chmod(0o755)
    with pytest.raises(UserError, match=f'{other} should be .* No module named mmcv'):
        tool.installations([str(other)])


@needs_mmdet
def test_no_such_checkpoint(tmp_path) -> None:
    config = REPO / 'configs' / 'transfer' / 'faster-rcnn_r18_fpn_vehicles.py'
    assert_sentence(python(SCRIPT, config, 'absent.pth', 'python', cwd=tmp_path), 'absent.pth')
