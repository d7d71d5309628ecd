"""The table, the curves read back from logs, and the pictures."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from hsakd_mm.engine.scalars import read_curve
from hsakd_mm.experiments import provenance as provenance_module
from hsakd_mm.experiments.provenance import provenance
from hsakd_mm.reports import pictures
from hsakd_mm.reports.metrics import read_metrics
from hsakd_mm.reports.table import markdown_table, print_table, write_report

ROWS = [
    dict(name='random', AP=21.26, AP50=48.2, AP75=None, seconds=1310.4, parameters=2_814_976),
    dict(
        name='HSAKD',
        top1=98.05,
        AP=41.3,
        AP50=73.9,
        AP75=41.0,
        seconds=1309.6,
        parameters=2_814_976,
        seed=3,
        commit='abc',
        dirty=True,
        checkpoint_sha256='f00',
        command='bash tools/demo.sh',
        hardware=dict(cpu='a CPU', cores=2, gpu=[]),
    ),
]


def test_report_files(tmp_path) -> None:
    files = write_report(ROWS, str(tmp_path / 'new'), 'What it was worth', ['One seed.'])
    text = (tmp_path / 'new' / 'report.md').read_text()
    assert text.startswith('# What it was worth\n\n| pretraining | top-1 % | AP |')
    assert '| random | – | 21.3 | 48.2 | – | 1,310 | 2,814,976 | – |' in text
    assert 'One seed.' in text
    assert 'checkpoint SHA-256 `f00`; commit `abc` with changes; seed 3; 2 cores of a CPU' in text
    content = json.loads((tmp_path / 'new' / 'report.json').read_text())
    assert content['rows'] == ROWS and content['notes'] == ['One seed.']
    assert sorted(os.listdir(tmp_path / 'new')) == ['report.json', 'report.md']
    assert files == {kind: str(tmp_path / 'new' / f'report.{kind}') for kind in ('md', 'json')}


def test_columns_that_no_row_has_are_left_out(capsys) -> None:
    rows = [dict(name='file', AP50=70.04), dict(name='a longer name', AP50=7.0)]
    assert markdown_table(rows)[0] == '| pretraining | AP50 |'
    print_table(rows)
    assert capsys.readouterr().out.splitlines()[2:] == ['file           70.0', 'a longer name   7.0']


def write_log(folder, start: str, points) -> None:
    log = folder / start / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    lines = [json.dumps(dict(loss=1.0, step=10))]
    lines += [json.dumps({'coco/bbox_mAP': value, 'step': step}) for step, value in points]
    log.write_text('\n'.join([*lines, '{"torn": 1, "ste']))


def test_curves_over_a_resume_and_a_new_start(tmp_path) -> None:
    assert read_curve(str(tmp_path), 'loss') == []
    write_log(tmp_path, '20260101_000000', [(1, 0.1), (2, 0.2), (3, 0.3)])
    write_log(tmp_path, '20260101_010000', [(3, 0.4), (4, 0.5)])  # resumed after epoch 2
    assert read_curve(str(tmp_path), 'coco/bbox_mAP') == [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.5)]
    assert read_metrics(str(tmp_path), 4) == dict(AP=50.0)
    assert read_metrics(str(tmp_path), 5) == {}  # stopped before its validation
    write_log(tmp_path, '20260102_000000', [(1, 0.15)])  # started anew
    assert read_curve(str(tmp_path), 'coco/bbox_mAP') == [(1, 0.15)]


def test_nothing_to_find_is_no_figure(tmp_path) -> None:
    write_log(tmp_path, '20260101_000000', [(1, -1.0)])
    assert read_metrics(str(tmp_path), 1) == dict(AP=None)


def test_provenance_names_what_a_number_needs() -> None:
    origin = provenance('bash tools/demo.sh', 7)
    assert origin['command'] == 'bash tools/demo.sh' and origin['seed'] == 7
    assert origin['hardware']['cpu'] and origin['hardware']['cores'] >= 1
    assert {'commit', 'dirty', 'torch', 'date'} <= set(origin)
    json.dumps(origin)


def test_another_repository_around_the_package_is_not_its_origin(tmp_path, monkeypatch) -> None:
    answers = {'rev-parse --show-toplevel': str(tmp_path), 'rev-parse HEAD': 'abc'}
    monkeypatch.setattr(provenance_module, '_git', lambda *args: answers.get(' '.join(args[:2]), ''))
    origin = provenance('', 0)
    assert origin['commit'] == 'unknown' and origin['dirty'] is None
    answers['rev-parse --show-toplevel'] = provenance_module.ROOT
    assert provenance('', 0)['commit'] == 'abc'
    assert os.path.isdir(os.path.join(provenance_module.ROOT, 'hsakd_mm', 'transfer'))


def is_picture(path) -> bool:
    with Image.open(path) as image:
        return min(image.size) > 200 and len(set(image.convert('L').getdata())) > 20


@pytest.mark.parametrize('rows', [ROWS, ROWS[:1]])
def test_bars(tmp_path, rows) -> None:
    pictures.plot_bars(rows, str(tmp_path / 'ap.png'))
    assert is_picture(tmp_path / 'ap.png')


def test_curves(tmp_path) -> None:
    lines = {'plain': [(1, 20.0), (2, 30.0)], 'HSAKD': [(1, 25.0), (2, 30.2)], 'random': []}
    pictures.plot_curves({'AP': lines, 'top-1 %': {'plain': [(1, 90.0)]}}, str(tmp_path / 'a.png'))
    assert is_picture(tmp_path / 'a.png')


def test_labels_are_spread_no_more_than_it_takes() -> None:
    assert pictures._spread([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
    assert pictures._spread([0.1, 0.5, 0.52], 0.1) == pytest.approx([0.1, 0.46, 0.56])
    assert pictures._spread([0.5] * 3, 0.1) == pytest.approx([0.4, 0.5, 0.6])


def test_a_model_keeps_its_colour() -> None:
    assert pictures.colours_of(['random', 'plain', 'HSAKD']) == {
        'random': pictures.GREY,
        **pictures.colours_of(['plain', 'HSAKD']),
    }


def test_detections_from_coco_files(tmp_path) -> None:
    Image.fromarray(np.full((60, 80, 3), 90, np.uint8)).save(tmp_path / '0.png')
    box = dict(image_id=4, category_id=7, bbox=[10, 10, 20, 30])
    truth = dict(
        images=[dict(id=4, file_name='0.png')],
        annotations=[box],
        categories=[dict(id=3, name='three'), dict(id=7, name='seven')],
    )
    found = {'plain': [dict(box, score=0.9)], 'HSAKD': []}
    pictures.draw_detections(truth, str(tmp_path), found, str(tmp_path / 'd.png'))
    assert is_picture(tmp_path / 'd.png')


def test_a_detection_is_right_once_with_its_class() -> None:
    truth = dict(boxes=[[0, 0, 10, 10], [20, 20, 30, 30]], labels=[1, 2])
    found = dict(
        boxes=[[0, 0, 10, 9], [0, 0, 10, 10], [20, 20, 30, 30], [20, 20, 30, 30]],
        labels=[1, 1, 1, 2],
        scores=[0.8, 0.9, 0.7, 0.2],
    )
    drawn = pictures.matched(found, truth, threshold=0.3)
    assert [(score, right) for _, _, score, right in drawn] == [(0.9, True), (0.8, False), (0.7, False)]
