"""What a detector run notes at its start, of the data and of the code."""

import importlib.util
import json
import os
from pathlib import Path

import pytest

from hsakd_mm.errors import UserError
from hsakd_mm.experiments.detector_run import DetectorRun
from hsakd_mm.experiments.run_record import annotations_of, read_record
from hsakd_mm.files import sha256
from tests.conftest import REPO

pytestmark = pytest.mark.skipif(importlib.util.find_spec('mmdet') is None, reason='mmdet is not installed')
VOC = str(REPO / 'configs' / 'transfer' / 'faster-rcnn_r18_fpn_voc0712.py')
BOXES = ('data/demo/scenes/train.json', 'data/demo/scenes/test.json')


@pytest.fixture
def scenes() -> None:
    """Two annotation files where the demo's detector looks for them, below the current folder."""
    for path in map(Path, BOXES):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dict(images=[path.name])))


def logged(run: DetectorRun) -> None:
    """An AP of the last epoch, as the training would have logged it."""
    log = Path(run.work_dir, '2026', 'vis_data', 'scalars.json')
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(json.dumps({'coco/bbox_mAP': 0.5, 'step': run.cfg.train_cfg.max_epochs}))


def test_a_row_has_the_annotations_that_the_run_started_with(started, scenes) -> None:
    made = started()
    before = {path: sha256(path) for path in BOXES}
    made.train()
    logged(made)
    Path(BOXES[0]).write_text('{}')
    assert made.report()['annotations'] == read_record(made.work_dir)['annotations'] == before


def test_a_run_goes_on_with_the_annotations_that_it_started_with(started, scenes) -> None:
    started(work_dir='here').train()
    started(work_dir='here').train(resume='auto')
    Path(BOXES[1]).write_text('corrected')
    with pytest.raises(UserError, match=r'learnt from other annotations than those that are in data/demo/.*test\.json'):
        started(work_dir='here').train(resume='auto')
    Path(BOXES[1]).unlink()  # not here: nothing to compare
    Path(BOXES[0]).unlink()
    started(work_dir='here').train(resume='auto')


def test_the_annotations_of_voc_are_its_lists_and_its_boxes(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = DetectorRun('random', VOC).cfg
    assert annotations_of(cfg) == {}
    for year, part in (('VOC2007', 'trainval'), ('VOC2012', 'trainval'), ('VOC2007', 'test')):
        folder = Path('data/VOCdevkit', year)
        names = (f'{part}.xml', 'unused.xml', '.DS_Store')
        for path in (folder / 'ImageSets' / 'Main' / f'{part}.txt', *(folder / 'Annotations' / name for name in names)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(part)
    first = annotations_of(cfg)
    lists = ['test.txt', 'trainval.txt', 'trainval.txt']
    assert sorted(map(os.path.basename, first)) == sorted([*lists, *(f'{name}: boxes' for name in lists)])
    for name in ('unused.xml', '.DS_Store'):
        Path('data/VOCdevkit/VOC2007/Annotations', name).write_text('other')
    assert annotations_of(cfg) == first
    Path('data/VOCdevkit/VOC2007/Annotations/test.xml').write_text('corrected')
    changed = [path for path, digest in annotations_of(cfg).items() if digest != first[path]]
    assert changed == ['data/VOCdevkit/VOC2007/ImageSets/Main/test.txt: boxes']


def test_a_list_runs_again_what_was_finished_or_stopped_on_other_annotations(started, scenes) -> None:
    made = started(work_dir='here')
    made.train()
    logged(made)
    made.report()
    assert started(work_dir='here').is_done()
    Path(BOXES[1]).write_text('corrected')
    again = started(work_dir='here')
    assert not again.is_done()
    again.move_outdated_aside()
    assert not Path('here', 'report.json').exists() and list(Path().glob('here*/report.json'))


@pytest.mark.parametrize('at_start', [dict(commit='of the start', dirty=True), {}])
def test_the_code_is_that_of_the_start(started, scenes, monkeypatch, at_start) -> None:
    """Who commits during a training changes nothing of what was trained."""
    monkeypatch.setattr(
        'hsakd_mm.experiments.detector_run.provenance', lambda *args: dict(commit='of the end', dirty=False, seed=0)
    )
    made = started()
    made.train()
    logged(made)
    if at_start:
        Path(made.work_dir, 'provenance.json').write_text(json.dumps(dict(at_start, seed=7)))
    row = made.report()
    assert (row['commit'], row['dirty']) == tuple((at_start or dict(commit='of the end', dirty=False)).values())
    assert row['seed'] == 0
