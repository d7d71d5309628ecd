"""What is published of a bench with a detector: whose files are written and removed, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest

from hsakd_mm.engine.preflight import load_config
from hsakd_mm.errors import UserError
from hsakd_mm.experiments.bench import Bench
from hsakd_mm.experiments.bench_detectors import detector_config, detector_seeds, pretraining_seed
from hsakd_mm.experiments.provenance import hash_of_config
from hsakd_mm.experiments.publish import publish
from hsakd_mm.reports.methods import write_method_report
from tests.conftest import REPO

pytest.importorskip('mmdet', reason='mmdet is not installed')
FILE = 'configs/demo/bench.py'


@pytest.fixture
def finished(tmp_path, monkeypatch) -> Path:
    """A repository, now the current folder, with the demo's bench, and reports of it in its work directory."""
    for name in ('_base_', 'demo'):
        shutil.copytree(REPO / 'configs' / name, tmp_path / 'configs' / name)
    monkeypatch.chdir(tmp_path)
    bench = Bench(FILE)
    origin = dict(command='command', commit='1234567', dirty=False, parameters=10, trained_parameters=20, epochs=1)
    figures = dict(top1=61.25, best_top1=62.0, curve=[[1, 61.25]], seconds_per_image=0.1, wall_seconds=60.0)
    pretrainings = [
        dict(
            **origin,
            **figures,
            name=run.name,
            seed=run.seed,
            row=run.row,
            config_sha256=run.config_sha256(),
            checkpoint_sha256=f'{run.name} {run.seed}',
        )
        for run in bench.runs
    ]
    write_method_report(pretrainings, bench.work_dir, 'Demo', bench.baseline, bench=FILE)
    today = hash_of_config(load_config(detector_config(bench), needs=('model',)))
    names = ['random', *(name for name, entry in bench.entries.items() if entry.get('row', True))]
    detectors = [
        dict(name=name, seed=seed, detector_config_sha256=today, dirty=False)
        | (dict(pretraining=dict(source_sha256=f'{name} {pretraining_seed(bench, seed)}')) if name != 'random' else {})
        for seed in detector_seeds(bench)
        for name in names
    ]
    folder = tmp_path / bench.work_dir / 'detectors'
    folder.mkdir()
    (folder / 'report.png').write_text('new')
    content = dict(measure='AP', runs=detectors, pictures=dict(overview='report.png'), title='Detectors', bench=FILE)
    (folder / 'report.json').write_text(json.dumps(content))
    return tmp_path


def change(path: Path, **of_run) -> None:
    """Change the last run of a report."""
    content = json.loads(path.read_text())
    content['runs'][-1].update(of_run)
    path.write_text(json.dumps(content))


def test_detectors_of_an_older_pretraining_are_refused(finished) -> None:
    report = finished / 'work_dirs/demo/detectors/report.json'
    before = report.read_text()
    change(report, pretraining=dict(source_sha256='of a pretraining before this one'))
    with pytest.raises(UserError, match='the detector of HSAKD .* started from another checkpoint of its pretraining'):
        publish(FILE, 'docs/demo', '.')
    assert not (finished / 'docs').exists()
    report.write_text(before)
    change(report, pretraining=dict(method='HSAKD'))  # of an older version
    assert publish(FILE, 'docs/demo', '.') == ['docs/demo/report.json', 'docs/demo/pretraining/report.json']


def test_pictures_of_others_stay(finished) -> None:
    old = dict(measure='AP', pictures=dict(overview='report.png', curves='learning_curves.png'))
    demo = finished / 'docs' / 'demo'
    demo.mkdir(parents=True)
    (demo / 'report.json').write_text(json.dumps(old))
    for name in ('report.png', 'learning_curves.png', 'logo.png', 'photograph.jpg'):
        (demo / name).write_text('old')
    (finished / 'docs' / 'outside.png').write_text('old')
    publish(FILE, 'docs/demo', '.')
    left = {path.name: path.read_text() for path in demo.iterdir() if path.suffix in ('.png', '.jpg')}
    assert left == {'report.png': 'new', 'logo.png': 'old', 'photograph.jpg': 'old'}
    assert sorted(path.name for path in (demo / 'pretraining').iterdir()) == ['report.json', 'report.png']


def test_a_missing_picture_is_missed_before_anything_is_removed(finished) -> None:
    publish(FILE, 'docs/demo', '.')
    (finished / 'work_dirs/demo/detectors/report.png').unlink()
    (finished / 'docs/demo/report.json').write_text('{}')
    with pytest.raises(UserError, match=r'report\.png, which the report shows, was expected in work_dirs/demo/detec'):
        publish(FILE, 'docs/demo', '.')
    assert (finished / 'docs/demo/report.png').read_text() == 'new'
    assert (finished / 'docs/demo/report.json').read_text() == '{}'


@pytest.mark.parametrize('folder', ['docs', 'docs/', 'elsewhere'])
def test_a_report_has_a_folder_of_its_own(finished, folder) -> None:
    with pytest.raises(UserError, match='should be below'):
        publish(FILE, folder, '.')
