"""Which checkpoint a run goes on from, and that a new run overwrites none."""

import shutil

import pytest
import torch

from hsakd_mm.checkpoints.work_dir import find_checkpoint, last_checkpoint, move_run_aside, require_unused
from hsakd_mm.errors import UserError
from tests.faults.command import run_to_end
from tests.tools.commands import ROOT, TINY, python
from tests.tools.tiny import TinyModel

ROW = 'last_checkpoint missing, or checkpoints of another run'
TRAIN = ROOT / 'tools' / 'train.py'


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp('finished')
    done = python(TRAIN, TINY, '--work-dir', folder / 'run', cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / 'run'


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / 'run')


def test_pointer_missing(where, run, tmp_path, seen) -> None:
    (run / 'last_checkpoint').unlink()
    (run / 'epoch_3.pth').write_text('cut off while it was written')
    status, output = run_to_end(tmp_path, where, '--resume', train_cfg__max_epochs=3)
    assert status == 0, output
    assert output.count('last_checkpoint is missing: taking epoch_2.pth, the newest that can') == 1
    assert torch.load(run / 'epoch_3.pth', weights_only=False)['meta']['epoch'] == 3
    injected = '`last_checkpoint` removed, newest file truncated, `--resume`'
    seen(ROW, injected, 'goes on from the newest that can be read', where)


def test_fresh_start_is_refused(where, run, tmp_path, seen) -> None:
    before = {path.name: path.read_bytes() for path in run.glob('*') if path.is_file()}
    status, output = run_to_end(tmp_path, where)
    assert status == 2 and 'Traceback' not in output, output
    (said,) = (line for line in output.splitlines() if line.startswith('error: '))
    assert all(word in said for word in ('3 files of another', 'epoch_1.pth', '--resume', '--work-dir', '--overwrite'))
    assert {path.name: path.read_bytes() for path in run.glob('*') if path.is_file()} == before
    seen(ROW, 'a start without `--resume` in the folder of a finished run', 'refused; no file was touched', where)


def test_overwrite_moves_aside(where, run, tmp_path, seen) -> None:
    before = {path.name: path.read_bytes() for path in run.glob('*.pth')}
    (run / 'mine.txt').write_text('stays')
    status, output = run_to_end(tmp_path, where, '--overwrite', train_cfg__max_epochs=1)
    assert status == 0, output
    assert {path.name: path.read_bytes() for path in (tmp_path / 'run.old1').glob('*.pth')} == before
    assert sorted(path.name for path in run.glob('*.pth')) == ['epoch_1.pth'] and (run / 'mine.txt').exists()
    assert len(list(run.glob('2*_*'))) == 1 and len(list((tmp_path / 'run.old1').glob('2*_*'))) == 1  # logs
    seen(ROW, '`--overwrite` in the folder of a finished run', 'starts; the old files are in `<folder>.old1`', where)


def test_tasks_of_srun_may_be_runs_of_their_own(run, tmp_path) -> None:
    """Without ``--launcher slurm`` its variables say nothing of this run."""
    task = dict(SLURM_PROCID=1, SLURM_LOCALID=1, SLURM_NTASKS=2)
    done = python(TRAIN, TINY, '--work-dir', run, '--overwrite', cwd=tmp_path, **task)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'run.old1' / 'epoch_1.pth').is_file() and (run / '.run.json').is_file()


def test_a_folder_whose_name_is_a_pattern(tmp_path) -> None:
    folder = tmp_path / 'lr[0.1]'
    folder.mkdir()
    for name in ('best_x.pth', 'epoch_9.pth'):
        torch.save(dict(state_dict=TinyModel().state_dict()), folder / name)
    assert find_checkpoint(str(folder)) == str(folder / 'best_x.pth')


def test_words_that_contradict(refusal) -> None:
    assert 'leave one of them out' in refusal('train.py', TINY, '--resume', '--overwrite')


def test_iterations_and_nothing(tmp_path) -> None:
    assert last_checkpoint(str(tmp_path)) is None and move_run_aside(str(tmp_path)) is None
    require_unused(str(tmp_path))
    torch.save(dict(state_dict=TinyModel().state_dict()), tmp_path / 'iter_30.pth')
    assert last_checkpoint(str(tmp_path)) == str(tmp_path / 'iter_30.pth')
    (tmp_path / 'iter_30.pth').write_text('truncated')
    with pytest.raises(UserError, match='is missing, and none of the 1 other.*--overwrite'):
        last_checkpoint(str(tmp_path))
    with pytest.raises(UserError, match='1 files of another'):
        require_unused(str(tmp_path))
