"""Whether a start goes on with the run that was in its work directory before, without being told to resume."""

import os
import tempfile
from contextlib import suppress

from hsakd_mm.checkpoints.work_dir import last_checkpoint
from hsakd_mm.engine.hooks.preemption_hook import was_preempted
from hsakd_mm.files import read_json, write_json
from hsakd_mm.processes import ranks, restarts


class RunMark:
    """The file ``.run.json`` of a work directory: when its run began, and in which Slurm job.

    A start goes on with the run before it

    - after the launcher has started the processes again because one failed,
    - in a Slurm job that was requeued,
    - after a run that was stopped by :class:`~hsakd_mm.engine.hooks.PreemptionHook`,

    and only from a checkpoint that was written since that run began: one that lay there before is not its own.

    Args:
        work_dir (str): Exists.
        fresh (bool): Begin a run whatever was there before.
    """

    NAME = '.run.json'

    def __init__(self, work_dir: str, fresh: bool = False) -> None:
        self.work_dir, self.fresh = work_dir, fresh
        self.file = os.path.join(work_dir, self.NAME)

    def begin(self) -> None:
        """The run begins, or goes on; rank 0 calls it once nothing speaks against the start."""
        mark = self._read()
        if not mark or self.fresh or not (restarts() or was_preempted(self.work_dir) or self._requeued(mark)):
            mark = {'since': now(self.work_dir)}
        write_json(self.file, {**mark, 'job': os.environ.get('SLURM_JOB_ID', '')})

    def to_resume(self, resume: str | None) -> str | None:
        """What the run resumes from; call it on all ranks, before :meth:`begin`.

        Args:
            resume (str): What the user asked for: ``'auto'``, a file or None.

        Returns:
            str: ``'auto'`` where the start goes on with the run before it, else ``resume``.
        """
        mark = self._read()
        if self.fresh or not mark:
            return resume
        again = restarts() or self._requeued(mark)
        # Whoever names a file after a run has ended means that file.
        if not again and not (was_preempted(self.work_dir) and resume is None):
            return resume
        newest = last_checkpoint(self.work_dir)
        if newest is None or os.stat(newest).st_mtime_ns <= mark['since']:
            return resume
        if resume != 'auto' and ranks()[0] == 0:
            why = 'its processes were started again' if again else 'it was asked to stop before its end'
            print(f'Going on with the run in {self.work_dir}, as {why}: from {os.path.basename(newest)}.', flush=True)
        return 'auto'

    def _requeued(self, mark: dict) -> bool:
        job = os.environ.get('SLURM_JOB_ID')
        return bool(job) and mark.get('job') == job and int(os.environ.get('SLURM_RESTART_COUNT', 0)) > 0

    def _read(self) -> dict:
        with suppress(OSError, ValueError):
            mark = read_json(self.file)
            return mark if isinstance(mark, dict) and isinstance(mark.get('since'), int) else {}
        return {}


def now(folder: str) -> int:
    """The time in nanoseconds by the clock of the folder's file system, which may be another machine's."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix='.clock-') as file:
        return os.stat(file.name).st_mtime_ns
