"""tools/slurm_train.sh on a real Slurm: a controller and a node on this machine, which tests/slurm/start.sh starts."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.tools.commands import ROOT, TINY, environment, run


def answers() -> bool:
    ping = ['timeout', '10', 'scontrol', 'ping']
    return bool(shutil.which('scontrol')) and b'UP' in subprocess.run(ping, capture_output=True).stdout


pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(not answers(), reason='no Slurm controller answers here: bash tests/slurm/start.sh starts one'),
]
ROW = 'Slurm: slurm_train.sh in a batch job'


class Job:
    """A batch job that trains the tiny model in two tasks, in its folder."""

    def __init__(self, folder: Path, *options: str, batch: tuple = ()) -> None:
        self.folder, self.log = folder, folder / 'job.log'
        train = ' '.join(['bash', str(ROOT / 'tools/slurm_train.sh'), 'all', 'tiny', str(TINY), 'run', *options])
        command = [
            'sbatch',
            '--parsable',
            '--requeue',
            '--open-mode=append',
            f'--output={self.log}',
            '--ntasks=2',
            *batch,
        ]
        env = environment(GPUS=2, CPU=1, CPUS_PER_TASK=1)
        done = subprocess.run([*command, '--wrap', train], cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        self.number = done.stdout.strip()

    def wait_for(self, text: str, seconds: int = 150) -> str:
        """The log once it holds a line like this."""
        waiting = 'grep -qE -m 1 "$1" <(tail -n +1 -F --pid=$$ "$2" 2> /dev/null)'
        done = run(
            'timeout', seconds, 'bash', '-c', waiting, '-', text, self.log, cwd=self.folder, timeout=seconds + 10
        )
        assert done.returncode == 0, self.log.read_text() if self.log.exists() else 'no log'
        return self.log.read_text()

    def ends(self) -> str:
        """State and exit code, once the job is no longer there."""
        after = ['srun', '--ntasks=1', '--quiet', f'--dependency=afterany:{self.number}', 'true']
        run('timeout', 150, *after, cwd=self.folder, timeout=160)
        shown = run('scontrol', 'show', 'job', self.number, cwd=self.folder).stdout
        return ' '.join(re.findall(r'(?:JobState|ExitCode|Restarts)=\S+', shown))

    def cancel(self, *options: str) -> None:
        assert run('scancel', *options, self.number, cwd=self.folder).returncode == 0


LONG = (
    '--cfg-options',
    'train_cfg.max_epochs=100000',
    'train_cfg.val_interval=100000',
    'default_hooks.logger.interval=400',
)
LONG = (*LONG, 'default_hooks.checkpoint.interval=2000')


def test_requeued_and_resumed(tmp_path, seen) -> None:
    job = Job(tmp_path, *LONG)
    job.wait_for(r'Epoch\(train\)')
    job.cancel('--signal=USR1')
    job.wait_for('exit status 75')
    job.wait_for('Going on with the run')
    last = int((tmp_path / 'run/last_checkpoint').read_text().rpartition('_')[2].partition('.')[0])
    assert last > 0
    job.wait_for(rf'resumed epoch: [0-9]+, iter: {last}')
    job.cancel()
    state = job.ends()
    assert 'Restarts=1' in state
    seen(ROW, 'scancel --signal=USR1', 'status 75, requeued by the script, resumed at the same step', 'two tasks')
    seen(ROW, 'scancel', f'{state.split()[0]}; both tasks gone', 'two tasks')


def test_before_the_time_limit(tmp_path, seen) -> None:
    job = Job(tmp_path, *LONG, batch=('--time=1', '--signal=USR1@40'))
    job.wait_for('exit status 75')
    job.wait_for('Going on with the run')
    job.cancel()
    assert 'Restarts=1' in job.ends()
    seen(ROW, '--time=1 --signal=USR1@40', 'status 75 before the limit, requeued, resumed', 'two tasks')


def test_a_failing_task(tmp_path, seen) -> None:
    job = Job(tmp_path, '--cfg-options', 'train_dataloader.dataset.broken=1')
    state = job.ends()
    assert 'FAILED' in state and 'ExitCode=2:0' in state and 'Restarts=0' in state, state
    assert 'sample 1 cannot be read' in job.log.read_text()
    seen(
        ROW,
        'one of two tasks cannot read its data',
        'its sentence, the other ended, status 2, not requeued',
        'two tasks',
    )
