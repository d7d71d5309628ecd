"""Where a benchmark's numbers came from."""

import os
import shlex
import sys

from hsakd_mm.experiments.provenance import provenance


def origin() -> dict:
    """As every result names it.

    The commit is $COMMIT where that is set: files that were sent to another machine have no repository of their own
    there, or an older one. A path below $OUT is written as such, not as this machine's.
    """
    command = shlex.join([os.path.basename(sys.executable), *sys.argv])
    if out := os.environ.get('OUT'):
        command = command.replace(out.rstrip('/') + '/', '$OUT/')
    where = provenance(command, 0)
    if commit := os.environ.get('COMMIT'):
        where.update(commit=commit, dirty=False)
    return where
