"""The launcher and its workers: asked to stop, killed, hanging; on one node and on two."""

import os
import signal
import sys

import pytest

from hsakd_mm.processes import REQUEUE
from tests.faults.command import NODES, TWO
from tests.faults.jobs import announced, descendants, free_port, gate_opened, gone, launcher, line, started, train
from tests.tools.prestarted import prestarted

MEET = '--nnodes=2', '--master-addr=127.0.0.2'


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
def test_asked_to_stop(number, tmp_path, seen):
    """The workers save for as long as it takes, here until the gate opens, and the launcher waits for both."""
    os.mkfifo(tmp_path / 'gate')
    with launcher(tmp_path, PET_MAX_RESTARTS=1) as process:
        pids = started(process)
        process.send_signal(number)
        assert [words[2] for words in announced(process, 'saving')] == [number.name] * 2
        process.send_signal(signal.SIGUSR1)  # changes nothing
        assert process.poll() is None and not gone(pids[:1], 0)
        with gate_opened(tmp_path):
            output = process.communicate(timeout=30)[0]
    assert process.returncode == REQUEUE, output
    assert gone(pids) and 'error' not in output and 'started' not in output
    seen('signal to the launcher', number.name, 'both saved, the launcher waited and ended with 75', TWO)


@pytest.mark.parametrize('second', [signal.SIGTERM, signal.SIGINT])
def test_asked_twice(second, tmp_path, seen):
    os.mkfifo(tmp_path / 'gate')
    with launcher(tmp_path) as process:
        pids = started(process)
        process.terminate()
        announced(process, 'saving')
        process.send_signal(second)
        output = process.communicate(timeout=10)[0]
    assert process.returncode == 128 + second and f'stopped at once by a second {second.name}' in output
    assert gone(pids)
    seen('signal to the launcher', f'SIGTERM, then {second.name} while the workers save', 'all ended at once', TWO)


def test_no_time_left_to_save(tmp_path, seen):
    os.mkfifo(tmp_path / 'gate')
    with launcher(tmp_path, HSAKD_MM_GRACE=1, PYTHON=sys.executable) as process:
        pids = started(process)
        os.kill(pids[1], signal.SIGSTOP)
        process.terminate()
        output = process.communicate(timeout=20)[0]
    assert process.returncode == 128 + signal.SIGTERM and output.count('error: ') == 1
    assert 'had not saved and ended 1 s after' in output and 'HSAKD_MM_GRACE=2' in output and gone(pids)
    seen(
        'signal to the launcher', 'SIGTERM, one worker is stopped (SIGSTOP)', 'killed after HSAKD_MM_GRACE seconds', TWO
    )


def test_launcher_killed(tmp_path, seen):
    """With DataLoader workers, one worker stopped; the next start finds the work directory free."""
    os.mkfifo(tmp_path / 'gate')
    options = [f'train_dataloader.dataset.gate={tmp_path / "gate"}', 'train_dataloader.num_workers=1']
    options += ['train_dataloader.persistent_workers=True']
    with train(tmp_path, *options) as process:
        line(process, 'Epoch(val) [2]')
        pids = descendants(process.pid)
        assert len(pids) >= 4
        os.kill(max(pids), signal.SIGSTOP)
        process.kill()
        assert gone(pids)
    (tmp_path / 'gate').unlink()
    with train(tmp_path, '--resume', PYTHON=prestarted()) as process:
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    seen(
        'launcher killed',
        'kill -9, DataLoader workers, one process stopped',
        'all ended; the next start takes the lock',
        TWO,
    )


def test_worker_killed_and_restarted(tmp_path, seen):
    """Goes on from epoch 2 without --resume."""
    os.mkfifo(tmp_path / 'gate')
    with train(tmp_path, f'train_dataloader.dataset.gate={tmp_path / "gate"}', PET_MAX_RESTARTS=1) as process:
        line(process, 'Epoch(val) [2]')
        os.kill(max(descendants(process.pid)), signal.SIGKILL)
        output = line(process, 'resumed epoch: 2')
        output += process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert 'was ended by SIGKILL' in output and 'restart 1 of 1' in output
    assert 'Epoch(train) [3]' in output and (tmp_path / 'run/epoch_3.pth').exists()
    assert not list((tmp_path / 'run').glob('.lock-*')) and 'Traceback' not in output
    seen('worker killed', 'kill -9 of one, PET_MAX_RESTARTS=1', 'went on from the last checkpoint', TWO)


def test_peer_that_hangs(tmp_path, seen):
    os.mkfifo(tmp_path / 'gate')
    options = [f'train_dataloader.dataset.gate={tmp_path / "gate"}', 'env_cfg.dist_cfg.timeout=10']
    with train(tmp_path, *options) as process:
        line(process, 'Epoch(val) [2]')
        pids = descendants(process.pid)
        os.kill(max(pids), signal.SIGSTOP)
        with gate_opened(tmp_path):
            output = process.communicate(timeout=60)[0]
    assert process.returncode == 1 and 'did not answer within 10 s' in output and 'Traceback' not in output, output
    assert output.count('error: ') == 1 and gone(pids)
    seen('peer that hangs', 'SIGSTOP of one', 'one sentence after env_cfg.dist_cfg.timeout, all ended', TWO)


def test_two_nodes(tmp_path, seen):
    """A worker is killed on node 1, where node 0's do not notice; then one launcher is asked to stop."""
    port = free_port()
    nodes = [dict(NODES=(*MEET, f'--node-rank={rank}'), PORT=port, processes=1, PET_MAX_RESTARTS=1) for rank in (0, 1)]
    with launcher(tmp_path, **nodes[0]) as zero, launcher(tmp_path, **nodes[1]) as one:
        first = [*started(zero, 1), *started(one, 1)]
        os.kill(first[1], signal.SIGKILL)
        again = [*started(zero, 1, restarts=1), *started(one, 1, restarts=1)]
        assert gone(first)
        os.kill(again[0], signal.SIGUSR1)  # as all ranks agree on it
        one.terminate()
        outputs = [process.communicate(timeout=60)[0] for process in (zero, one)]
    assert [zero.returncode, one.returncode] == [REQUEUE, REQUEUE], outputs
    seen('two nodes', 'a worker killed on one, PET_MAX_RESTARTS=1', 'both nodes started again', NODES)
    seen('two nodes', 'SIGTERM to one launcher', 'both saved and ended with 75', NODES)


def test_node_that_ends(tmp_path, seen):
    """Node 0 with its store is killed; node 1's worker does not notice by itself."""
    port = free_port()
    nodes = [
        dict(NODES=(*MEET, f'--node-rank={rank}'), PORT=port, processes=1, PYTHON=sys.executable) for rank in (0, 1)
    ]
    with launcher(tmp_path, **nodes[0]) as zero, launcher(tmp_path, **nodes[1]) as one:
        pids = [*started(zero, 1), *started(one, 1)]
        zero.kill()
        output = one.communicate(timeout=60)[0]
    assert one.returncode == 1 and 'the launcher of node 0 has gone' in output and output.count('error: ') == 1, output
    assert gone(pids)
    seen('two nodes', 'kill -9 of one launcher', 'the other node ended within 20 s, with a sentence', NODES)


def test_waiting_for_a_node(tmp_path, seen):
    """Told to stop while the other node has not come."""
    with launcher(tmp_path, 1, NODES=(*MEET, '--node-rank=0')) as process:
        line(process, 'Node 0 of 2 is waiting for the others')
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == REQUEUE
    seen('two nodes', 'SIGTERM while the other node has not come', 'ended with 75', NODES)
