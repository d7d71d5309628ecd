"""tools/linear_probe.py, in this process: a probe, its continuation, its test, its neighbours."""

import importlib
import json
import os
import sys

import pytest
import torch

from hsakd_mm.engine.work_dir_lock import only_run
from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.plain import Classifier
from tests.datasets.originals import photographs, write_stl10
from tests.tools.commands import ROOT

BACKBONE = dict(type='CifarResNet', depth=8, num_classes=5, width=(4, 4, 8, 8))
CONFIG = f"""
_base_ = {str(ROOT / 'configs' / 'linear' / 'mbv2_stl10.py')!r}
model = dict(backbone=dict(_delete_=True, **{BACKBONE!r}), checkpoint=None)
train_cfg = dict(max_epochs=3)
env_cfg = dict(cudnn_benchmark=False)
_loader = dict(num_workers=0, persistent_workers=False, pin_memory=False, batch_size=10)
_set = dict(data_root='data', download=False, verify=False)
train_dataloader = dict(dataset=_set, **_loader)
val_dataloader = dict(dataset=_set, **_loader)
test_dataloader = val_dataloader
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a config, data and a backbone; images of a class are one photograph."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    write_stl10(tmp_path / 'data', photographs(10, 96).repeat(3, 0), [n // 3 for n in range(30)])
    (tmp_path / 'probe.py').write_text(CONFIG)
    torch.manual_seed(0)
    torch.save(dict(state_dict=Classifier(BACKBONE).state_dict()), 'a.pth')
    torch.save(dict(state_dict=Classifier(BACKBONE).state_dict()), 'b.pth')
    return tmp_path


def run(tool: str, *args: str) -> None:
    """The tool's ``main``, as from the command line, without its guard against errors."""
    argv, sys.argv = sys.argv, [tool, *args]
    try:
        importlib.import_module(f'hsakd_mm.commands.{tool}').main()
    finally:
        sys.argv = argv


def test_probe_resume_and_test(place, capsys) -> None:
    run('linear_probe', 'probe.py', 'a.pth', '--cfg-options', 'train_cfg.max_epochs=2')
    first = json.loads((place / 'work_dirs/probe/linear_probe.json').read_text())
    assert first['epochs'] == 2 and first['checkpoint'] == 'a.pth' and first['seed'] == 0
    assert set(first) >= {'command', 'commit', 'hardware', 'checkpoint_sha256'}
    assert not list(place.glob('work_dirs/probe/.*'))  # neither a lock nor a temporary file

    run('linear_probe', 'probe.py', 'a.pth', '--resume', '--out', 'out/result.json')
    result = json.loads((place / 'out' / 'result.json').read_text())
    assert result['epochs'] == 3
    assert result['metrics']['top1_best'] >= max(result['metrics']['top1_last'], first['metrics']['top1_best'])
    assert 'out/result.json: top1_last' in capsys.readouterr().out

    # Saved before its last validation, as by a run that was stopped there: measured all the same.
    for log in (place / 'work_dirs' / 'probe').glob('*/vis_data/scalars.json'):
        log.write_text(
            ''.join(
                line
                for line in log.read_text().splitlines(keepends=True)
                if not ('accuracy' in line and '"step": 3' in line)
            )
        )
    run('linear_probe', 'probe.py', 'a.pth', '--resume')
    again = json.loads((place / 'work_dirs/probe/linear_probe.json').read_text())
    assert again['metrics']['top1_last'] == pytest.approx(result['metrics']['top1_last'])

    (place / 'a.pth').unlink()
    run('test', 'probe.py', 'work_dirs/probe/epoch_3.pth', '--out', 'test.json')
    tested = json.loads((place / 'test.json').read_text())['metrics']
    assert tested['accuracy/top1'] == pytest.approx(result['metrics']['top1_last'])

    with pytest.raises(UserError, match='should stand on the backbone of b.pth'):
        run('linear_probe', 'probe.py', 'b.pth', '--resume')


def test_neighbours(place) -> None:
    """Both splits hold the same images: the nearest is the image itself."""
    run('linear_probe', 'probe.py', 'a.pth', '--knn', '3')
    result = json.loads((place / 'work_dirs/probe/knn.json').read_text())
    assert result['metrics'] == dict(top1=100, top5=100)
    assert (result['method'], result['k'], result['temperature']) == ('k-NN', 3, 0.07)


def test_mistakes(place) -> None:
    plain = str(ROOT / 'configs' / 'demo' / 'plain.py')
    with pytest.raises(UserError, match='LinearProbe was expected.*Classifier'):
        run('linear_probe', plain, 'a.pth')
    with pytest.raises(UserError, match='nowhere.pth'):
        run('linear_probe', 'probe.py', 'nowhere.pth')
    with pytest.raises(SystemExit):
        run('linear_probe', 'probe.py', 'a.pth', '--knn', '--resume')


@pytest.mark.parametrize('words', [[], ['--overwrite'], ['--resume']])
def test_a_probe_has_its_folder_for_itself(place, words) -> None:
    folder = place / 'work_dirs' / 'probe'
    folder.mkdir(parents=True)
    with only_run(str(folder)):
        with pytest.raises(UserError, match='in use by another run'):
            run('linear_probe', 'probe.py', 'a.pth', *words)
        assert os.listdir(folder) == ['.lock-1']


def test_neighbours_are_looked_up_while_a_probe_trains(place) -> None:
    """They read and write nothing of it."""
    (place / 'work_dirs' / 'probe').mkdir(parents=True)
    with only_run('work_dirs/probe'):
        run('linear_probe', 'probe.py', 'a.pth', '--knn', '3')
    assert (place / 'work_dirs' / 'probe' / 'knn.json').exists()


@pytest.mark.parametrize('out', ['made', 'made/file/result.json', '/proc/result.json'])
@pytest.mark.parametrize('words', [[], ['--knn']])
def test_where_no_result_can_be_written_nothing_starts(place, out, words) -> None:
    (place / 'made').mkdir()
    (place / 'made' / 'file').touch()
    with pytest.raises(UserError, match=f'the result is to be written to {out}, which is not possible .*: give --out'):
        run('linear_probe', 'probe.py', 'a.pth', '--out', out, *words)
    assert not list(place.glob('work_dirs/probe/*'))


@pytest.mark.parametrize(
    'options, said',
    [
        (['val_evaluator.topk=5'], 'val_evaluator, as the result of a probe, and it measures Accuracy: set'),
        (["val_evaluator=[dict(type='TeacherAgreement')]"], 'measures TeacherAgreement'),
        (['val_evaluator.prefix=mine'], 'measures Accuracy'),
        (['val_cfg=None', 'val_evaluator=None', 'val_dataloader=None'], 'val_dataloader'),
        (['train_cfg.val_begin=4', 'train_cfg.max_epochs=1'], 'accuracy/top1 of each validation was expected in'),
    ],
)
def test_without_top1_there_is_no_result(place, options, said) -> None:
    with pytest.raises(UserError, match=said):
        run('linear_probe', 'probe.py', 'a.pth', '--cfg-options', *options)
    assert bool(list(place.glob('work_dirs/probe/epoch_*'))) == ('val_begin' in options[0])  # said before
