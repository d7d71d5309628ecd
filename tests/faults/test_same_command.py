"""A run that was stopped or killed, and the same command again: it ends as if nothing had been."""

import json
import signal

import pytest
import torch

from hsakd_mm.processes import REQUEUE
from tests.faults.command import NODES, ONE, TWO, ended, run_to_end, training, weights
from tests.faults.exact import assert_same
from tests.faults.jobs import announced

KEPT = dict(train_cfg__max_epochs=3, default_hooks__checkpoint__max_keep_ckpts=1)


def hooked(folder, **hook) -> dict:
    """Changes of the config: a hook of :mod:`tests.tools.tiny`, active while ``flag`` exists."""
    (folder / 'flag').touch()
    return dict(KEPT, custom_hooks=f'[{dict(hook, flag=str(folder / "flag"))}]')


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize('moment', ['training', 'validation'])
@pytest.mark.parametrize('where', [ONE, TWO, NODES])
def test_asked_to_stop(where, moment, number, tmp_path, undisturbed, seen) -> None:
    """The signal goes to the command, with two nodes to one of them."""
    changes = hooked(tmp_path, type='WaitsForSignal', epoch=1, validation=moment == 'validation')
    with training(tmp_path, where, **changes) as processes:
        for process in processes:
            announced(process, 'waiting', 2 if where == TWO else 1)
        processes[-1].send_signal(number)
        announced(processes[-1], 'received', 2 if where == TWO else 1)
        (tmp_path / 'flag').unlink()  # the other node's rank goes on without a signal
        statuses, output = ended(processes)
    assert set(statuses) == {REQUEUE} and 'Traceback' not in output, output
    assert (
        json.loads((tmp_path / 'run/preempted.json').read_text())['step']
        == torch.load(
            tmp_path / 'run' / (tmp_path / 'run/last_checkpoint').read_text().rpartition('/')[2], weights_only=False
        )['meta']['iter']
    )
    status, output = run_to_end(tmp_path, where, **changes)
    assert status == 0 and 'asked to stop before its end' in output, output
    if moment == 'validation':
        assert 'Epoch(val) [2]' in output  # made up
    assert_same(weights(tmp_path), undisturbed(where))
    assert [path.name for path in (tmp_path / 'run').glob('*.pth')] == ['epoch_3.pth']
    seen(
        'SIGTERM or SIGUSR1', f'{number.name} to the command, in {moment}', 'status 75; the same command goes on', where
    )


def test_stopped_with_overwrite_in_the_command(tmp_path, undisturbed, seen) -> None:
    """The same command would begin again, and says so."""
    assert run_to_end(tmp_path, ONE, **KEPT)[0] == 0
    changes = hooked(tmp_path, type='WaitsForSignal', epoch=1, validation=False)
    with training(tmp_path, ONE, '--overwrite', **changes) as (process,):
        announced(process, 'waiting', 1)
        process.send_signal(signal.SIGTERM)
        announced(process, 'received', 1)
        (status,), output = ended([process])
    (tmp_path / 'flag').unlink()
    assert status == REQUEUE and 'The same command without --overwrite goes on from there' in output
    status, output = run_to_end(tmp_path, ONE, **changes)
    assert status == 0 and 'asked to stop before its end' in output, output
    assert_same(weights(tmp_path), undisturbed(ONE))
    seen(
        'SIGTERM or SIGUSR1',
        'SIGTERM to `train --overwrite`',
        'status 75; the command without `--overwrite` goes on',
        ONE,
    )


def test_another_experiment_is_refused(where, tmp_path, seen) -> None:
    assert run_to_end(tmp_path, where, train_cfg__max_epochs=1)[0] == 0
    before = (tmp_path / 'run/epoch_1.pth').read_bytes()
    status, output = run_to_end(tmp_path, where, '--resume', optim_wrapper__optimizer__momentum=0.5)
    assert status == 2 and 'Traceback' not in output, output
    (said,) = (line for line in output.splitlines() if line.startswith('error: '))
    assert 'momentum was 0.9 and is 0.5' in said and (tmp_path / 'run/epoch_1.pth').read_bytes() == before
    seen('`--resume` as another experiment', 'another momentum, by command', 'one sentence, status 2', where)


@pytest.mark.parametrize('moment', ['half', 'whole', 'place'])
def test_killed_while_saving(where, moment, tmp_path, undisturbed, seen) -> None:
    changes = hooked(tmp_path, type='KilledWhileSaving', name='epoch_2.pth', moment=moment)
    status, output = run_to_end(tmp_path, where, **changes)
    assert status not in (0, REQUEUE), output
    assert torch.load(tmp_path / 'run/epoch_1.pth', weights_only=False)['meta']['epoch'] == 1
    assert bool(list((tmp_path / 'run').glob('epoch_2.pth.*.tmp'))) == (moment != 'place')
    (tmp_path / 'flag').unlink()
    status, output = run_to_end(tmp_path, where, '--resume', **changes)
    assert status == 0, output
    assert_same(weights(tmp_path), undisturbed(where))
    left = {path.name for path in (tmp_path / 'run').iterdir() if path.is_file()}
    assert {name for name in left if '.pth' in name or '.tmp' in name} == {'epoch_3.pth'}
    said = {'half': 'half of it written', 'whole': 'before it is in place', 'place': 'before the old one is removed'}
    seen(
        'kill -9 while a checkpoint is written',
        f'`max_keep_ckpts=1`, {said[moment]}',
        'the file before is whole; `--resume` goes on to the same bits, nothing is left over',
        where,
    )
