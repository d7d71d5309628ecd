"""The report of a bench, from the results of its runs alone."""

import json
from pathlib import Path

import pytest
from PIL import Image

from hsakd_mm.reports.method_pictures import mean_curve
from hsakd_mm.reports.methods import print_method_report, summarise, write_method_report
from hsakd_mm.reports.weak_teachers import weak_teachers


def result(name: str, top1: float, cost: float, row: bool = True, seed: int = 0) -> dict:
    return dict(
        name=name,
        seed=seed,
        row=row,
        top1=top1,
        best_top1=top1 + 1,
        epochs=2,
        curve=[(1, top1 - 10), (2, top1)],
        parameters=5000,
        trained_parameters=7000,
        seconds_per_image=cost,
        wall_seconds=60.0,
        command='python tools/benchmark.py',
        commit='abc',
        dirty=False,
        torch='2.11',
        threads=2,
        hardware=dict(cpu='a CPU', cores=2, gpu=[]),
    )


RESULTS = [
    result('plain', 50.0, 0.2),
    result('KD*', 60.0, 0.3),
    result('branches', 9.0, 0.9, False),
    result('plain', 52.0, 0.1, seed=1),
    result('KD*', 62.0, 0.4, seed=1),
]


def test_rows() -> None:
    plain, kd = summarise(RESULTS, 'plain')
    assert (plain.name, plain.top1, plain.best, plain.seeds) == ('plain', 51.0, 52.0, 2)
    assert plain.sigma == pytest.approx(2**0.5)
    assert (plain.cost, kd.cost) == (1.0, pytest.approx(3.0))  # of the fastest seeds
    assert [row.cost for row in summarise(RESULTS[1:2], 'plain')] == [None]


def test_what_is_no_accuracy_is_named_and_not_drawn(tmp_path) -> None:
    follows = dict(result('no labels', 87.0, 0.1), metric='agreement/top1')
    first = dict(result('pair', 40.0, 0.1), metric='accuracy/net1_top1')
    text = Path(write_method_report([follows, first], str(tmp_path), 'T', 'pair')['md']).read_text()
    assert '| agreement/top1 87.00 |' in text and '| 40.00 |' in text
    assert not [
        path for path in write_method_report([follows], str(tmp_path / 'b'), 'T', 'x').values() if 'png' in path
    ]


def test_accuracy_against_cost(tmp_path) -> None:
    """Drawn where runs are points of a curve; a run whose cost is not known is left out."""
    points = [
        dict(result(f'{name}, {epochs}', top1, 0.1), curve_of=name, macs=epochs * macs, teachers_macs=teacher)
        for name, macs, teacher in (('plain', 1e12, 0), ('KD', 2e12, 9e12))
        for epochs, top1 in ((10, 50.0), (20, 55.0), (40, 57.0))
    ]
    points.append(dict(result('KD, old', 40.0, 0.1), curve_of='KD', macs=None, teachers_macs=None))
    files = write_method_report(points, str(tmp_path), 'Front', 'plain, 10')
    assert 'front.png' in Path(files['md']).read_text()
    with Image.open(tmp_path / 'front.png') as picture:
        assert picture.size[0] > 1000
    rows = json.loads(Path(files['json']).read_text())['rows']
    assert [row['macs'] for row in rows] == [10e12, 20e12, 40e12, 20e12, 40e12, 80e12, None]
    assert [row['relative_macs'] for row in rows] == [1, 2, 4, 2, 4, 8, None]
    assert '| 8.00 | 80.0 | 1.0 | 0.90 | – |' in Path(files['md']).read_text()


def test_cost_beside_that_of_the_teacher() -> None:
    """Means over seeds of what was timed; what an old result does not have is left out."""
    costs = [dict(macs=6e12, seconds=each, teachers_macs=9e12, teachers_seconds=90.0) for each in (40.0, 50.0)]
    taught = [dict(result('KD', 50.0, 0.1, seed=seed), **each) for seed, each in enumerate(costs)]
    plain, kd = summarise([dict(result('plain', 50.0, 0.1), macs=3e12), *taught], 'plain')
    assert (kd.relative_macs, kd.relative_teachers_macs, kd.seconds, kd.teachers_seconds) == (2, 3, 45, 90)
    assert (plain.relative_macs, plain.relative_teachers_macs, plain.teachers_seconds) == (1, None, None)
    assert plain.seconds == plain.wall_seconds == 60
    assert summarise(taught, 'plain')[0].relative_macs is None


def test_a_teacher_that_is_no_better_than_its_student(tmp_path, capsys) -> None:
    teacher, other = result('R56*', 50.0, 0.1, row=False), dict(result('T', 9.0, 0.1), metric='branch/joint_max')
    students = [
        dict(result('KD', top1, 0.1, seed=seed), taught_by=['R56*', 'T', 'elsewhere'])
        for seed, top1 in enumerate((49.0, 51.0))
    ]
    better = dict(result('weak', 49.9, 0.1), taught_by=['R56*'])
    follows = dict(result('agrees', 90.0, 0.1), taught_by=['R56*'], metric='agreement/top1')
    results = [teacher, other, *students, better, follows]
    (said,) = weak_teachers(results)
    assert said.startswith("Warning: the teacher 'R56*' (50.0) is not better than its student KD (50.0), by top-1")
    assert (
        'its students KD (50.0), DKD (60.0), by'
        in weak_teachers([*results, dict(result('DKD', 60.0, 0.1), taught_by=['R56*'])])[0]
    )
    files = write_method_report(results, str(tmp_path), 'Methods', 'weak')
    assert "**Warning: the teacher 'R56\\*' (50.0)" in Path(files['md']).read_text()
    assert json.loads(Path(files['json']).read_text())['warnings'] == [said]
    print_method_report(results, 'weak', 0, 6, files)
    assert said in capsys.readouterr().out
    assert weak_teachers([dict(teacher, curve=[(1, 51.0)]), *students]) == []


def test_mean_curve() -> None:
    assert mean_curve([[(1, 10.0), (2, 30.0)], [(1, 20.0)]]) == [(1, 15.0)]


def test_the_whole_report(tmp_path, capsys) -> None:
    data = [dict(set='CIFAR-100', train=4000, val=1000, classes=['apple', 'bee'], content_sha256='f00')]
    files = write_method_report(
        RESULTS, str(tmp_path), 'Methods', 'plain', ['It is `small`.'], 'bench.py', data, 'on the test set'
    )
    assert files == {ending: str(tmp_path / f'report.{ending}') for ending in ('json', 'md', 'html', 'png')}
    content = json.loads((tmp_path / 'report.json').read_text())
    assert [row['name'] for row in content['rows']] == ['plain', 'KD*']
    assert content['data'] == data and content['bench'] == 'bench.py' and len(content['runs']) == 5
    text = (tmp_path / 'report.md').read_text()
    setting = '**Data:** CIFAR-100, 4,000 training and 1,000 validation images, 2 classes. **Epochs:** 2'
    assert text.startswith(f'# Methods\n\n{setting}\n')
    assert '| Method | Top-1 (%) | Seeds | Best epoch (%) | Parameters |' in text
    assert r'| KD\* | 61.00 ± 1.41 | 2 | 62.00 | 5,000 | 7,000 | 2 | 3.00 | – | – | 1.0 | – | – |' in text
    assert 'over seeds, on the test set.' in text and 'relative to plain' in text and 'It is `small`.' in text
    origin = '`python tools/benchmark.py`; commit `abc`; torch 2.11; 2 cores of a CPU; threads per process: 2'
    assert rf'- plain (seed 0, 1), KD\* (seed 0, 1), branches (seed 0): {origin}' in text
    page = (tmp_path / 'report.html').read_text()
    assert '<td>61.00 ± 1.41</td>' in page and 'It is <code>small</code>.' in page
    assert page.count('src="data:image/png;base64,') == 1 and '<td>KD*</td>' in page
    with Image.open(files['png']) as image:
        assert min(image.size) > 200

    print_method_report(RESULTS, 'plain', 1, 6, files)
    said = capsys.readouterr().out
    assert 'KD* 61.00 ± 1.41 2 62.00 5,000 7,000 2 3.00 – – 1.0' in ' '.join(said.split())
    assert '1 of 6 runs are not done.' in said and files['html'] in said


def test_a_bench_of_which_nothing_is_done(tmp_path, capsys) -> None:
    files = write_method_report([], str(tmp_path), 'Methods', 'plain')
    assert set(files) == {'json', 'md', 'html'}
    print_method_report([], 'plain', 2, 2, files)
    assert '2 of 2 runs are not done.' in capsys.readouterr().out
