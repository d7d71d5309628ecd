"""Where a benchmark's numbers came from."""

import os
import shlex
import sys

from hsakd_mm.experiments.provenance import provenance


def origin(processes: int = 1) -> dict:
    """As every result names it: its command, with the launcher for several processes, commit, hardware and versions.

    The commit is $COMMIT where that is set: files that were sent to another machine have no repository of their own
    there, or an older one. A path below $OUT is written as such, not as this machine's.
    """
    launcher = ['-m', 'hsakd_mm.engine.torchrun', '--nproc-per-node', str(processes)] if processes > 1 else []
    command = shlex.join([os.path.basename(sys.executable), *launcher, *sys.argv])
    if threads := os.environ.get('OMP_NUM_THREADS'):
        command = f'OMP_NUM_THREADS={threads} {command}'
    if out := os.environ.get('OUT'):
        command = command.replace(out.rstrip('/') + '/', '$OUT/')
    where = provenance(command, 0)
    if commit := os.environ.get('COMMIT'):
        where.update(commit=commit, dirty=False)
    return where
