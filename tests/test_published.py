"""Published numbers: every table is what its JSON says, and every run is one that today's code would make again.

The guard itself is tested on a small repository of one bench, in which something was changed.
"""

import json
import re
import shutil
from pathlib import Path

import pytest

from hsakd_mm.errors import UserError
from hsakd_mm.experiments.bench import Bench
from hsakd_mm.experiments.first_losses import first_losses
from hsakd_mm.experiments.publish import mark_outdated, publish
from hsakd_mm.experiments.published_runs import check_runs, inside
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.reports.methods import write_method_report
from hsakd_mm.reports.published import PAGES, REPORTS, differences, marked, paths_of, write_published
from hsakd_mm.reports.zoo import ZOO
from tests.conftest import REPO
from tests.tools.commands import module

RENEWS = 'python tools/benchmark.py configs/demo/bench.py && python tools/publish.py configs/demo/bench.py docs/tiny'
MARKER = '<!-- table: methods docs/tiny/report.json columns="Method; Top-1 (%)" -->'
NO_JSON = {
    'docs/faults.md': 'written from the tests in tests/faults, which compare it',
    'docs/scale.md': 'arithmetic from measured figures, each row with where it is from',
}


def test_tables_are_what_their_json_says() -> None:
    assert list(map(str, differences(str(REPO)))) == []


def test_runs_are_those_of_the_repository() -> None:
    checked = check_runs(str(REPO))
    assert list(map(str, checked.differences)) == []
    if checked.skipped:
        pytest.skip(' '.join(checked.skipped))


def test_tables_with_numbers_stand_between_markers() -> None:
    reports = {str(Path(path).with_suffix('.md')) for path in [*paths_of(str(REPO), REPORTS), ZOO]}
    pages = {path for pattern in PAGES[:2] for path in paths_of(str(REPO), pattern)} - reports - set(NO_JSON)
    for path in sorted(pages):
        text = (REPO / path).read_text()
        for words, table in marked(text, path):
            assert table.strip(), words
            text = text.replace(table, '')
        for line in re.findall(r'^\|.*$', text, re.MULTILINE):
            cells = re.sub(r'`[^`]*`|\]\([^)]*\)', '', line).split('|')[2:-1]
            assert not any(re.match(r'[\s*+−-]*\d', cell) for cell in cells), f'{path}: {line}'


@pytest.fixture(scope='module')
def template(tmp_path_factory, demo_data) -> Path:
    """A repository with the demo's configs and a published report of its pretraining, with first losses of *plain*."""
    root = tmp_path_factory.mktemp('template') / 'repository'
    for name in ('_base_', 'demo'):
        shutil.copytree(REPO / 'configs' / name, root / 'configs' / name)
    bench = root / 'configs/demo/bench.py'
    bench.write_text(bench.read_text() + '\nprepare = None\n')
    (root / 'data').mkdir()
    (root / 'data/demo').symlink_to(demo_data)
    (root / 'README.md').write_text(f'# Small\n\n{MARKER}\n<!-- end of table -->\n')
    with inside(str(root)):
        plan = Bench('configs/demo/bench.py')
        runs = [
            result(run, **({'first_losses': run.first_losses()} if run.name == 'plain' and run.is_first else {}))
            for run in plan.runs
        ]
        write_method_report(runs, 'docs/tiny', 'Tiny', plan.baseline, bench=plan.file)
        write_published('.')
    return root


@pytest.fixture
def small(template, tmp_path, monkeypatch) -> Path:
    """A copy of it, now the current folder."""
    root = tmp_path / 'repository'
    shutil.copytree(template, root, symlinks=True)
    monkeypatch.chdir(root)
    return root


def result(run, **more) -> dict:
    figures = dict(top1=61.25, best_top1=62.0, curve=[[1, 61.25]], epochs=1, seconds_per_image=0.1, wall_seconds=60.0)
    origin = dict(config_sha256=run.config_sha256(), command='command', commit='1234567', dirty=False)
    return dict(
        **figures, **origin, **more, name=run.name, seed=run.seed, row=run.row, parameters=10, trained_parameters=20
    )


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def rewrite(file: Path, change) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def run_of(content: dict, name: str) -> dict:
    return next(run for run in content['runs'] if run['name'] == name)


def test_nothing_is_found_where_nothing_changed(small) -> None:
    assert '61.25' in (small / 'README.md').read_text()
    assert differences('.') == []
    checked = check_runs('.')
    assert checked.differences == []
    assert checked.skipped == [
        f'docs/tiny/report.json: the first losses of {name} are not compared, as its run stored none.'
        for name in ('teacher', 'plain, same cost', 'KD, same cost', 'HSAKD')
    ]


def test_edited_tables(small) -> None:
    edit(small / 'README.md', '61.25', '71.25')
    edit(small / 'docs/tiny/report.md', '61.25', '71.25')
    report, readme = sorted(map(str, differences('.')), key=len)
    assert report == 'docs/tiny/report.md: it is not what its JSON says. Renew it: python tools/publish.py'
    words = MARKER.removeprefix('<!-- table: ').removesuffix(' -->')
    assert readme == f'README.md, table {words}: it is not what its JSON says. Renew it: python tools/publish.py'
    write_published('.')
    assert differences('.') == [] and '71.25' not in (small / 'README.md').read_text()


def test_changed_config(small) -> None:
    with open(small / 'configs/demo/plain.py', 'a') as file:
        file.write('\noptim_wrapper = dict(optimizer=dict(lr=0.011))\n')
    found, _ = map(str, check_runs('.').differences)  # and of "plain, same cost"
    assert found == (
        'docs/tiny/report.md, table Tiny: the config of plain, configs/demo/plain.py, or of what it needs, is no '
        f'longer that of its run (its table is in README.md too). Renew it: {RENEWS}'
    )


def test_changed_teacher(small) -> None:
    """A student's run is outdated with its teacher's config."""
    with open(small / 'configs/demo/teacher.py', 'a') as file:
        file.write('\noptim_wrapper = dict(optimizer=dict(lr=0.011))\n')
    found = ' '.join(map(str, check_runs('.', losses=False).differences))
    assert 'config of teacher,' in found and 'config of HSAKD,' in found and 'plain' not in found


def test_removed_run_and_removed_bench(small) -> None:
    rewrite(small / 'docs/tiny/report.json', lambda content: run_of(content, 'plain').update(name='plane'))
    assert 'plane (seed 0) is no longer a run of configs/demo/bench.py' in str(
        check_runs('.', losses=False).differences
    )
    (small / 'configs/demo/bench.py').unlink()
    assert 'its bench, configs/demo/bench.py, cannot be read' in str(check_runs('.').differences[0])


def test_changed_loss(small, monkeypatch) -> None:
    own = Classifier.loss

    def loss(self, *args, **kwargs) -> dict:
        return {name: 1.01 * value for name, value in own(self, *args, **kwargs).items()}

    monkeypatch.setattr(Classifier, 'loss', loss)
    (found,) = map(str, check_runs('.').differences)
    assert found.startswith('docs/tiny/report.md, table Tiny: the first losses of plain (seed 0) were 2.')
    assert found.endswith(f' today (its table is in README.md too). Renew it: {RENEWS}')


def test_broken_step_and_missing_data(small, monkeypatch) -> None:
    monkeypatch.setattr(Classifier, 'loss', None)
    (found,) = check_runs('.').differences
    assert 'the first steps of plain (seed 0) cannot be taken' in found.found
    (small / 'data/demo').unlink()
    checked = check_runs('.')
    assert checked.differences == []
    assert checked.skipped[-1].endswith('plain (seed 0) are not compared, as there is no data/demo/digits.')


def test_detectors(small) -> None:
    pytest.importorskip('mmdet', reason='mmdet is not installed')
    from hsakd_mm.experiments.detector_run import DetectorRun

    own = DetectorRun('random', 'configs/demo/faster_rcnn.py', seed=0)
    runs = [dict(name='random', seed=0, AP=10.0, first_losses=first_losses(own.cfg, 0))]
    runs[0]['detector_config_sha256'] = own.detector_config_sha256
    rows = [dict(name='random', seeds=[0], pretrainings=0, difference=None, top1=None, seconds=None)]
    rows[0] |= dict.fromkeys(('AP50', 'AP75', 'AP_S', 'AP_M', 'AP_L')) | dict(AP=dict(mean=10, sigma=None, values=[10]))
    content = dict(title='Detectors', baseline='random', measure='AP', rows=rows, runs=runs)
    content |= dict(bench='configs/demo/bench.py', pictures=dict(overview='report.png'))
    (small / 'docs/detectors').mkdir()
    (small / 'docs/detectors/report.json').write_text(json.dumps(content))
    write_published('.')
    assert check_runs('.').differences == []
    rewrite(small / 'docs/detectors/report.json', lambda content: content['runs'][0].update(first_losses=[1, 2, 3]))
    assert 'the first losses of the detector of random (seed 0) were 1, 2, 3' in str(check_runs('.').differences)
    edit(small / 'configs/demo/faster_rcnn.py', 'max_norm=10', 'max_norm=9')
    assert 'the config of the detectors, faster_rcnn.py, is no longer that of random' in str(
        check_runs('.').differences
    )


def test_outdated(small) -> None:
    rewrite(small / 'docs/tiny/report.json', lambda content: run_of(content, 'plain').update(config_sha256='other'))
    mark_outdated('docs/tiny', 'the sun was in the way')
    write_published('.')
    said = f'**Outdated: the sun was in the way.** Renewed by `{RENEWS}`.'
    assert said in (small / 'README.md').read_text()
    assert (small / 'docs/tiny/report.md').read_text().split('\n\n')[1] == said
    checked = check_runs('.')
    assert checked.differences == []
    assert checked.skipped == ['docs/tiny/report.json: its runs are not compared, as it is marked as outdated.']
    with pytest.raises(UserError, match=r'a report\.json was expected in docs/none'):
        mark_outdated('docs/none', 'why')


@pytest.mark.parametrize(
    'marker, said',
    [
        ('<!-- table: methods docs/none.json -->', 'there is no such file'),
        ('<!-- table: nothing docs/tiny/report.json -->', 'should be one of methods, comparison'),
        ('<!-- table: methods docs/tiny/report.json columns="Metod" -->', "'Metod' is none (did you mean Method?)"),
        ('<!-- table: methods docs/tiny/report.json rows="HSAKD; plane" -->', "'plane' is none"),
        (f'{MARKER}\n{MARKER}', 'one of them stands alone'),
    ],
)
def test_wrong_markers(small, marker, said) -> None:
    (small / 'README.md').write_text(f'{marker}\n<!-- end of table -->\n')
    with pytest.raises(UserError, match=re.escape(said)):
        differences('.')


def test_a_finished_bench_is_published(small) -> None:
    bench = small / 'configs/demo/bench.py'
    with pytest.raises(UserError, match='a finished report was expected in work_dirs/demo, and there is none'):
        publish('configs/demo/bench.py', 'docs/new', '.')
    bench.write_text(bench.read_text() + '\ndetector = pairs = None\n')
    (small / 'work_dirs').mkdir()
    shutil.move(small / 'docs/tiny', small / 'work_dirs/demo')
    (small / 'README.md').unlink()
    report = small / 'work_dirs/demo/report.json'
    finished = report.read_text()
    for change, said in (
        (lambda content: content['runs'].pop(), r'\(seed 1\) of configs/demo/bench.py is not finished'),
        (lambda content: run_of(content, 'plain').update(config_sha256='x'), 'plain .* had another config than the'),
        (lambda content: run_of(content, 'plain').update(dirty=True), 'plain .* working tree with uncommitted changes'),
        (lambda content: content['runs'].append(dict(name='KD', seed=0, dirty=False)), 'KD .* is no run of'),
    ):
        rewrite(report, change)
        with pytest.raises(UserError, match=said):
            publish('configs/demo/bench.py', 'docs/new', '.')
        report.write_text(finished)
    with pytest.raises(UserError, match='should be below'):
        publish('configs/demo/bench.py', 'elsewhere', '.')
    assert publish('configs/demo/bench.py', 'docs/new', '.') == ['docs/new/report.json']
    assert write_published('.') == ['docs/new/report.md']
    assert sorted(path.name for path in (small / 'docs/new').iterdir()) == ['report.json', 'report.md', 'report.png']
    assert check_runs('.').differences == []


def test_the_command(small, monkeypatch, capsys) -> None:
    tool = module(REPO / 'tools/publish.py')
    monkeypatch.setattr(tool, 'ROOT', str(small))
    monkeypatch.setattr('sys.argv', ['publish.py', '--check'])
    tool.main()
    edit(small / 'README.md', '61.25', '71.25')
    rewrite(small / 'docs/tiny/report.json', lambda content: run_of(content, 'plain').update(first_losses=[2, 2, 2]))
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        tool.main()
    assert ended.value.code == 1
    said = capsys.readouterr().out.splitlines()
    assert said[-2].startswith('README.md, table methods') and 'first losses of plain' in said[-1]
    assert '71.25' in (small / 'README.md').read_text()  # nothing is changed
    monkeypatch.setattr('sys.argv', ['publish.py'])
    tool.main()
    assert 'README.md' in capsys.readouterr().out and differences(str(small)) == []


@pytest.mark.parametrize('args', [['configs/demo/bench.py'], ['a.py', 'docs/a', '--check']])
def test_mistakes_of_the_command(refusal, args) -> None:
    assert 'bench' in refusal('publish.py', *args)
