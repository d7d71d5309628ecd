"""Where a benchmark's numbers came from."""

import os
import shlex
import sys

from hsakd_mm.experiments.provenance import provenance


def origin() -> dict:
    """As every result names it; the commit from $COMMIT where the files travelled without their repository."""
    where = provenance(shlex.join([os.path.basename(sys.executable), *sys.argv]), 0)
    if where['commit'] == 'unknown' and os.environ.get('COMMIT'):
        where.update(commit=os.environ['COMMIT'])
    return where
