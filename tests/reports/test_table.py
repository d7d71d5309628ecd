"""The table, the curves read back from logs, and the pictures."""

import json
import os

import pytest
from PIL import Image

from hsakd_mm.engine.scalars import read_curve
from hsakd_mm.experiments import provenance as provenance_module
from hsakd_mm.experiments.provenance import provenance
from hsakd_mm.reports import pictures
from hsakd_mm.reports.metrics import read_metrics
from hsakd_mm.reports.page import Table
from hsakd_mm.reports.table import print_table, write_report
from hsakd_mm.reports.terminal import print_table as print_terminal

ROW = dict(
    name='HSAKD',
    AP=41.26,
    AP50=73.9,
    AP75=None,
    seconds=1309.6,
    parameters=2_814_976,
    seed=3,
    commit='abc',
    dirty=True,
    checkpoint_sha256='f00',
    command='bash tools/demo.sh',
    hardware=dict(cpu='a CPU', cores=2, gpu=[]),
)


def test_report_files(tmp_path) -> None:
    files = write_report(ROW, str(tmp_path / 'new'), 'What it was worth', ['One seed.'])
    text = (tmp_path / 'new' / 'report.md').read_text()
    assert text.startswith('# What it was worth\n\n| Pretraining | AP | AP50 | Seconds |')
    assert '| HSAKD | 41.3 | 73.9 | 1,310 | 2,814,976 | 3 |' in text
    assert 'One seed.' in text
    assert '| HSAKD | 3 | 41.26 | `f00` |' in text
    assert '- HSAKD (seed 3): `bash tools/demo.sh`; commit `abc` with changes; 2 cores of a CPU' in text
    content = json.loads((tmp_path / 'new' / 'report.json').read_text())
    assert content['rows'] == [ROW] and content['notes'] == ['One seed.']
    assert sorted(os.listdir(tmp_path / 'new')) == ['report.html', 'report.json', 'report.md']
    assert files == {kind: str(tmp_path / 'new' / f'report.{kind}') for kind in ('json', 'md', 'html')}


def test_the_report_of_a_run_says_what_was_trained_on_what(tmp_path) -> None:
    write_log(tmp_path, '20260101_000000', [(1, 0.1), (2, 0.0)])
    setting = dict(dataset='Signs', train_images=1200, val_images=40, image_size=[512, 320], detector='Faster R-CNN')
    row = dict(ROW, **setting, AP=0.0, epochs=2, remark='the detector found no box.')
    files = write_report(row, str(tmp_path), 'Transfer')
    assert set(files) == {'json', 'md', 'html', 'png'}
    for ending in ('md', 'html'):
        text = (tmp_path / f'report.{ending}').read_text()
        for said in (
            'Signs, 1,200 training and 40 validation images',
            '512 × 320',
            'Faster R-CNN',
            'found no box',
            'noise',
        ):
            assert said in text
    with Image.open(files['png']) as image:
        assert min(image.size) > 200


def test_columns_without_a_value_are_left_out(capsys) -> None:
    print_table(dict(name='file', AP=None, AP50=70.04))
    head, _, row = capsys.readouterr().out.splitlines()
    assert (head.split(), row.split()) == (['Pretraining', 'AP50'], ['file', '70.0'])
    assert len(head.rstrip()) == len(row.rstrip())  # numbers are aligned right


@pytest.mark.parametrize('columns', ['40', '300'])
def test_without_a_terminal_no_line_is_cut(columns, capsys, monkeypatch) -> None:
    monkeypatch.setenv('COLUMNS', columns)
    heads = [f'heading {number}' for number in range(30)]
    print_terminal(Table(heads, [['a name ' * 20, *map(str, range(1000, 1028)), '+1.0 [−0.5, +2.5]']]))
    head, _, row = (' '.join(line.split()) for line in capsys.readouterr().out.splitlines())
    assert head == ' '.join(heads)
    assert row.startswith('a name a name') and row.endswith('1026 1027 +1.0 [−0.5, +2.5]')


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


def test_labels_are_spread_no_more_than_it_takes() -> None:
    assert pictures._spread([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
    assert pictures._spread([0.1, 0.5, 0.52], 0.1) == pytest.approx([0.1, 0.46, 0.56])
    assert pictures._spread([0.5] * 3, 0.1) == pytest.approx([0.4, 0.5, 0.6])


def test_a_model_keeps_its_colour() -> None:
    assert pictures.colours_of(['random', 'plain', 'HSAKD']) == {
        'random': pictures.GREY,
        **pictures.colours_of(['plain', 'HSAKD']),
    }


def test_a_detection_is_right_once_with_its_class() -> None:
    truth = dict(boxes=[[0, 0, 10, 10], [20, 20, 30, 30]], labels=[1, 2])
    found = dict(
        boxes=[[0, 0, 10, 9], [0, 0, 10, 10], [20, 20, 30, 30], [20, 20, 30, 30]],
        labels=[1, 1, 1, 2],
        scores=[0.8, 0.9, 0.7, 0.2],
    )
    drawn = pictures.matched(found, truth, threshold=0.3)
    assert [(score, right) for _, _, score, right in drawn] == [(0.9, True), (0.8, False), (0.7, False)]
