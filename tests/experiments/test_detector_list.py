"""A list of checkpoints and seeds: what is checked, run, skipped, continued and compared."""

import importlib.util
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from hsakd_mm.errors import UserError
from hsakd_mm.experiments import detector_list
from hsakd_mm.experiments import detector_run as run
from hsakd_mm.experiments.child import RunFailed
from hsakd_mm.experiments.detector_list import DetectorList, split_name
from hsakd_mm.experiments.run_record import read_row
from tests.conftest import REPO
from tests.trained_backbones import write_checkpoint

from .test_detector_run import tool

pytestmark = pytest.mark.skipif(importlib.util.find_spec('mmdet') is None, reason='mmdet is not installed')
DEMO = str(REPO / 'configs' / 'demo' / 'faster_rcnn.py')
WIDTHS = (16, 32, 64, 128)  # the demo's detector's


@pytest.fixture(scope='module')
def students(tmp_path_factory):
    """A folder with two training checkpoints that fit, and one that does not."""
    root = tmp_path_factory.mktemp('students')
    for name, hooks in (('hsakd', None), ('other', ''), ('narrow', '')):
        kwargs = {} if hooks is None else dict(hooks=hooks)
        widths = (8, 8, 16, 16) if name == 'narrow' else WIDTHS
        write_checkpoint(root / name / 'epoch_3.pth', widths, **kwargs)
    content = torch.load(root / 'other' / 'epoch_3.pth')
    content['state_dict']['backbone.conv1.weight'] += 1
    torch.save(content, root / 'other' / 'epoch_3.pth')
    return root


@pytest.fixture
def listed(students, demo_data, tmp_path, monkeypatch):
    """Makes a DetectorList whose children only log an AP; ``calls`` tells what was done."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(students, tmp_path, dirs_exist_ok=True)
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'demo').symlink_to(demo_data)

    def child(command, title, log) -> None:
        make.calls.append(title)
        assert '--resume' in command and log.endswith('output.log')
        folder = command[command.index('--work-dir') + 1]
        if title == make.fails:
            raise RunFailed('no space', 9, log)
        scalars = os.path.join(folder, '2026', 'vis_data', 'scalars.json')
        os.makedirs(os.path.dirname(scalars))
        with open(scalars, 'w') as file:
            file.write('{"coco/bbox_mAP": 0.5, "step": 3}\n')

    def compare(runs, out_dir, title, baseline=None, notes=(), origins=None, failed=(), bench='', pairs=()) -> dict:
        make.compared.append([(each.name, each.seed) for each in runs])
        assert set(origins) == {each.name for each in runs}
        make.origins, make.notes, make.baseline = origins, notes, baseline
        make.failed = [(each.name, each.seed, each.reason) for each in failed]
        return dict(md=os.path.join(out_dir, 'report.md'))

    def make(*checkpoints, config=DEMO, **kwargs) -> DetectorList:
        made = DetectorList(checkpoints, config, **kwargs)
        make.calls, make.compared = [], []
        made.check()
        return made

    make.fails = None
    monkeypatch.setattr(
        Config,
        'pretty_text',
        property(lambda self: '\n'.join(f'{key} = {value!r}' for key, value in self.to_dict().items())),
    )  # yapf is slow
    monkeypatch.setattr(run, 'run_child', child)
    monkeypatch.setattr(detector_list, 'write_comparison', compare)
    monkeypatch.setattr(detector_list, 'print_comparison', lambda files: None)
    return make


def test_each_seed_is_a_round_and_what_is_done_is_skipped(listed, capsys) -> None:
    names = ['random', 'hsakd/epoch_3.pth', 'plain one*=other/epoch_3.pth']
    made = listed(*names, seeds=[0, 3], baseline='random')
    said = capsys.readouterr().out
    for name in ('random', 'HSAKD', 'plain one*'):
        assert said.count(f'{name}: Frozen: ') == 1
    made.run()
    out = capsys.readouterr().out
    assert listed.calls == [
        'random, seed 0',
        'HSAKD, seed 0',
        'plain one*, seed 0',
        'random, seed 3',
        'HSAKD, seed 3',
        'plain one*, seed 3',
    ]
    assert listed.compared == [
        [('random', 0), ('HSAKD', 0), ('plain one*', 0)],
        [(name, seed) for name in ('random', 'HSAKD', 'plain one*') for seed in (0, 3)],
    ]
    assert any('SHA-256' in sentence for sentence in listed.origins['HSAKD'])
    assert not any('Frozen: ' in sentence for sentence in listed.origins['HSAKD'])
    assert '[1/6] random, seed 0\n' in out
    assert '[5/6] HSAKD, seed 3 (about 0 min left in all)' in out
    folder = os.path.join('work_dirs', 'transfer', 'faster_rcnn', 'plain_one-star-seed3')
    (row,) = json.loads(Path(folder, 'report.json').read_text())['rows']
    assert row['name'] == 'plain one*' and row['seed'] == 3 and row['AP'] == 50.0
    assert row['frozen'].startswith('Frozen: ')
    cfg = Config.fromfile(os.path.join(folder, 'faster_rcnn.py'))
    assert cfg.val_evaluator[-1].out_file == os.path.join(folder, 'detections.json')

    # Called again there is nothing to do; another seed alone is one run's worth.
    again = listed(*names, seeds=[0, 3])
    again.run()
    assert listed.calls == [] and len(listed.compared) == 1
    assert '[2/6] HSAKD, seed 0: done before' in capsys.readouterr().out
    listed(*names, seeds=[3, 4]).run()
    assert listed.calls == ['random, seed 4', 'HSAKD, seed 4', 'plain one*, seed 4']


def test_a_baseline_that_was_not_run_is_named_all_the_same(listed) -> None:
    listed('random', 'A=hsakd/epoch_3.pth', baseline='A').run(only=['random'])
    assert listed.compared == [[('random', 0)]] and listed.baseline == 'A'


def test_what_another_process_has_finished_meanwhile_is_not_run_again(listed) -> None:
    first, second = listed('random'), listed('random')
    first.run()
    report = Path(first.runs[0].work_dir, 'report.json')
    before = report.stat().st_mtime_ns
    second.runs[0].run()
    assert listed.calls == ['random, seed 0'] and report.stat().st_mtime_ns == before


def test_warnings_are_read_in_the_report_and_on_the_terminal(listed, capsys) -> None:
    made = listed('random')
    made.warnings = ['Warning: the teacher R34* is not better.']
    made.run()
    assert listed.notes[0] == r'**Warning: the teacher R34\* is not better.**' and len(listed.notes) > 1
    assert '\nWarning: the teacher R34* is not better.\nReport: ' in capsys.readouterr().out


def test_a_pretraining_for_each_seed(listed) -> None:
    for seed, start in ((0, 'hsakd'), (3, 'other')):
        os.renames(f'{start}/epoch_3.pth', f'runs/seed{seed}/epoch_3.pth')
    made = listed('random', 'ours=runs/seed{seed}/epoch_3.pth', seeds=[0, 3])
    made.run()
    assert listed.calls == ['random, seed 0', 'ours, seed 0', 'random, seed 3', 'ours, seed 3']
    starts = [read_row(run.work_dir)['checkpoint'] for run in made.runs if run.name == 'ours']
    assert starts == [f'runs/seed{seed}/epoch_3_backbone.pth' for seed in (0, 3)]
    for path in starts:  # each is named, once
        assert sum('SHA-256' in note and path in note for note in listed.origins['ours']) == 1
    listed('ours=runs/seed{seed}/epoch_3.pth', seeds=[3]).run()
    assert listed.calls == []
    with pytest.raises(UserError, match='runs/seed5/epoch_3.pth'):
        listed('ours=runs/seed{seed}/epoch_3.pth', seeds=[0, 5])
    with pytest.raises(UserError, match='name it, as in A=runs/seed{seed}/epoch_3.pth'):
        listed('runs/seed{seed}/epoch_3.pth', seeds=[0, 3])


def test_the_same_run_in_a_project_that_was_moved(listed, tmp_path, monkeypatch) -> None:
    listed('random', 'hsakd/epoch_3.pth').run()
    moved = tmp_path / 'moved'
    shutil.copytree(tmp_path, moved, symlinks=True)
    monkeypatch.chdir(moved)
    listed('random', 'hsakd/epoch_3.pth').run()
    assert listed.calls == []


def test_a_failing_run_stops_no_other_and_its_status_is_handed_on(listed, capsys) -> None:
    names = ['random', 'hsakd/epoch_3.pth', 'P=other/epoch_3.pth']
    listed.fails = 'HSAKD, seed 0'
    with pytest.raises(SystemExit) as ended:
        listed(*names).run()
    assert ended.value.code == 9 and listed.calls == ['random, seed 0', 'HSAKD, seed 0', 'P, seed 0']
    assert listed.compared == [[('random', 0), ('P', 0)]] and listed.failed == [('HSAKD', 0, 'no space')]
    assert 'error: HSAKD, seed 0 failed with status 9' in capsys.readouterr().err
    listed.fails = None
    listed(*names).run()
    assert listed.calls == ['HSAKD, seed 0'] and listed.failed == []
    assert listed.compared == [[('random', 0), ('HSAKD', 0), ('P', 0)]]


def test_what_other_settings_made_is_set_aside(listed, capsys) -> None:
    listed('random', 'A=hsakd/epoch_3.pth').run()
    listed('random', 'A=other/epoch_3.pth').run()
    assert listed.calls == ['A, seed 0']
    assert 'A-seed0 was made from other settings: kept as' in capsys.readouterr().out
    folder = os.path.join('work_dirs', 'transfer', 'faster_rcnn')
    assert sorted(os.listdir(folder)) == ['A-seed0', 'A-seed0.old1', 'random-seed0']
    listed('random', 'A=other/epoch_3.pth', options={'optim_wrapper.optimizer.lr': 0.5}).run()
    assert listed.calls == ['random, seed 0', 'A, seed 0']


def test_all_are_checked_before_the_first_trains(listed, demo_data) -> None:
    with pytest.raises(UserError, match='holds TimmBackbone.*of another shape'):
        listed('random', 'narrow/epoch_3.pth')
    os.remove(os.path.join('data', 'demo'))
    with pytest.raises(UserError, match='holds TimmBackbone'):  # the more basic mistake first
        listed('random', 'narrow/epoch_3.pth')
    with pytest.raises(UserError, match="the detector's data is not where"):
        listed('random', 'hsakd/epoch_3.pth')
    assert not os.path.exists('work_dirs')


@pytest.mark.parametrize(
    'names, kwargs, said',
    [
        (['random', 'random'], {}, 'random comes twice: name them, as in A=random'),
        (['a b=random', 'a_b=random'], {}, 'a_b comes twice'),
        (['random', 'A=random'], dict(baseline='B'), "one of the names random, A, and 'B' is none"),
        (['random'], dict(seeds=[0, -1]), '--seeds takes numbers of 0 or more'),
    ],
)
def test_refusals(names, kwargs, said, listed) -> None:
    with pytest.raises(UserError, match=said):
        listed(*names, **kwargs)


def test_names(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert split_name('HSAKD*=work_dirs/a.pth') == ('HSAKD*', 'work_dirs/a.pth')
    assert split_name('work_dirs/lr=0.1/a.pth') == ('', 'work_dirs/lr=0.1/a.pth')
    assert split_name('torchvision://resnet18') == ('', 'torchvision://resnet18')
    (tmp_path / 'a=b.pth').touch()
    assert split_name('a=b.pth') == ('', 'a=b.pth')


def test_on_several_machines_the_first_compares(listed, monkeypatch) -> None:
    monkeypatch.setenv('NNODES', '2')
    monkeypatch.setenv('NODE_RANK', '1')
    assert listed('random', 'A=random').run() == {}
    assert listed.calls == ['random, seed 0', 'A, seed 0'] and listed.compared == []


def test_from_checkpoints_to_comparison(students, demo_data, tmp_path) -> None:
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'demo').symlink_to(demo_data)
    done = tool(
        'random',
        students / 'hsakd' / 'epoch_3.pth',
        DEMO,
        '--baseline',
        'random',
        '--work-dir',
        'runs',
        '--cfg-options',
        'train_cfg.max_epochs=1',
        'train_dataloader.num_workers=0',
        'val_dataloader.num_workers=0',
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert '[2/2] HSAKD, seed 0 (about ' in done.stdout
    for name in ('random', 'HSAKD'):
        folder = tmp_path / 'runs' / f'{name}-seed0'
        assert {'report.json', 'detections.json', 'faster_rcnn.py', 'output.log', 'epoch_1.pth'} <= set(
            os.listdir(folder)
        )
    assert {'report.md', 'report.json', 'report.html', 'report.png'} <= set(os.listdir(tmp_path / 'runs'))
