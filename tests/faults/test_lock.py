"""The work directory's lock, and which checkpoints a start goes on from by itself."""

import contextlib
import json
import multiprocessing
import os
import time

import pytest
import torch

from hsakd_mm.engine import work_dir_lock
from hsakd_mm.engine.hooks.preemption_hook import MARK
from hsakd_mm.engine.run_mark import RunMark
from hsakd_mm.engine.work_dir_lock import GONE, only_run
from hsakd_mm.errors import UserError
from tests.faults.command import run_to_end
from tests.faults.jobs import gone


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    for name in ('RANK', 'SLURM_PROCID', 'SLURM_JOB_ID', 'SLURM_RESTART_COUNT', 'TORCHELASTIC_RESTART_COUNT'):
        monkeypatch.delenv(name, raising=False)


def owned_by(folder, **changes):
    """A lock file of another process: a dead one of this machine unless changed."""
    content = {**work_dir_lock._me(), 'pid': 2**22 + 1, 'started': '1', **changes}
    (folder / '.lock-1').write_text(json.dumps(content))
    return folder / '.lock-1'


def test_second_run_is_refused(where, tmp_path, seen):
    folder = tmp_path / 'run'
    folder.mkdir()
    with only_run(str(folder)):
        status, output = run_to_end(tmp_path, where)
        assert status == 2 and 'Traceback' not in output, output
        (said,) = (line for line in output.splitlines() if line.startswith('error: '))
        assert all(word in said for word in ('in use by another run', f'process {os.getpid()} on', 'since')), said
        left = {file.name for file in folder.iterdir()}
    assert left == {'.lock-1'}  # the second wrote nothing
    assert not list(folder.glob('.lock-*'))
    seen('two runs in one work directory', 'a second command', 'refused, naming host, pid and time', where)


def test_dead_owner(tmp_path, seen):
    owned_by(tmp_path)
    with only_run(str(tmp_path)):
        assert [file.name for file in tmp_path.glob('.lock-*')] == ['.lock-2']
    # Its pid was given to another process, here to this one.
    owned_by(tmp_path, pid=os.getpid())
    with only_run(str(tmp_path)):
        pass
    assert not list(tmp_path.glob('.lock-*'))
    seen('launcher killed', 'the lock of a dead process', 'taken over at once')


def test_owner_on_another_machine(tmp_path, seen):
    lock = owned_by(tmp_path, machine='other', host='node7')
    with pytest.raises(UserError, match='on node7.*start again 180 s after'), only_run(str(tmp_path)):
        pass
    os.utime(lock, (time.time() - GONE - 1,) * 2)
    with only_run(str(tmp_path)):
        pass
    (tmp_path / '.lock-1').touch()  # just created, not yet written
    with pytest.raises(UserError, match='not yet known'), only_run(str(tmp_path)):
        pass
    seen('launcher killed', 'a lock of another machine', 'refused until it was not renewed for 180 s, then taken over')


def test_requeued_job_takes_the_lock_of_its_first_start(tmp_path, monkeypatch):
    owned_by(tmp_path, machine='other', job='5', requeued=0)
    monkeypatch.setenv('SLURM_JOB_ID', '5')
    with pytest.raises(UserError), only_run(str(tmp_path)):  # two steps of one job
        pass
    monkeypatch.setenv('SLURM_RESTART_COUNT', '1')
    with only_run(str(tmp_path)):
        pass


def _start(folder, barrier, results) -> None:
    barrier.wait()
    with contextlib.suppress(UserError), only_run(folder):
        results.put(os.getpid())
        barrier.wait()
        return
    barrier.wait()


def test_exactly_one_of_many_takes_over(tmp_path, seen):
    context = multiprocessing.get_context('fork')
    for _ in range(5):
        owned_by(tmp_path)
        barrier, results = context.Barrier(8), context.Queue()
        starts = [context.Process(target=_start, args=(str(tmp_path), barrier, results)) for _ in range(8)]
        for start in starts:
            start.start()
        for start in starts:
            start.join(30)
        assert results.get(timeout=5) and results.empty()
        assert not list(tmp_path.glob('.lock-*'))
    seen(
        'two runs in one work directory', 'eight starts at once find a dead lock', 'exactly one runs', 'eight processes'
    )


def checkpoint(folder, name='epoch_1.pth') -> None:
    torch.save(dict(state_dict=dict(weight=torch.zeros(1))), folder / name)
    (folder / 'last_checkpoint').write_text(str(folder / name))


def run(folder, stopped: bool = False, fresh: bool = False) -> None:
    """A run that writes a checkpoint."""
    with only_run(str(folder)):
        RunMark(str(folder), fresh).begin()
        (folder / MARK).unlink(missing_ok=True)  # as PreemptionHook does
        checkpoint(folder)
        if stopped:
            (folder / MARK).write_text('{}')


def test_goes_on_after_it_was_asked_to_stop(tmp_path, capsys):
    mark = RunMark(str(tmp_path))
    assert mark.to_resume(None) is None and mark.to_resume('auto') == 'auto'
    run(tmp_path)
    assert mark.to_resume(None) is None  # it had ended
    run(tmp_path, stopped=True)
    assert mark.to_resume(None) == 'auto' and mark.to_resume('a.pth') == 'a.pth'
    assert 'asked to stop before its end: from epoch_1.pth' in capsys.readouterr().out
    assert RunMark(str(tmp_path), fresh=True).to_resume(None) is None
    run(tmp_path)
    assert mark.to_resume(None) is None


def test_restart_takes_only_its_own_checkpoints(tmp_path, monkeypatch, seen):
    mark = RunMark(str(tmp_path))
    checkpoint(tmp_path)
    with only_run(str(tmp_path)):
        mark.begin()
        monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '1')
        assert mark.to_resume(None) is None and mark.to_resume('old.pth') == 'old.pth'
        checkpoint(tmp_path, 'epoch_2.pth')
        assert mark.to_resume(None) == 'auto' == mark.to_resume('old.pth')
    seen('worker killed', 'before its first checkpoint, in a folder with an older one', 'the older one is not resumed')


def test_requeued_job_goes_on(tmp_path, monkeypatch):
    """It was killed, and could not say that it wants to go on."""
    monkeypatch.setenv('SLURM_JOB_ID', '5')
    run(tmp_path)
    assert RunMark(str(tmp_path)).to_resume(None) is None
    monkeypatch.setenv('SLURM_RESTART_COUNT', '1')
    assert RunMark(str(tmp_path)).to_resume(None) == 'auto'
    monkeypatch.setenv('SLURM_JOB_ID', '6')
    assert RunMark(str(tmp_path)).to_resume(None) is None


def test_owner_without_its_lock_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(work_dir_lock, 'RENEWED', 0.01)
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(writer)
        with only_run(str(tmp_path)):
            os.remove(tmp_path / '.lock-1')
            os.read(reader, 1)  # until the test is over
        os._exit(0)
    gone([pid])
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    os.close(reader)
