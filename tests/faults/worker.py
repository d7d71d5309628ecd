"""A worker that saves when it is asked to, for tests of the launcher: the saving takes until it is let.

``worker.py FOLDER``: prints ``started RANK RESTARTS PID``. On SIGTERM or SIGUSR1 it prints ``saving RANK SIGNAL``,
waits until the FIFO ``FOLDER/gate``, if there is one, is open for writing, and ends with 75.
"""

import os
import signal
import sys
from pathlib import Path

from hsakd_mm.processes import REQUEUE, end_with_parent, ranks, restarts


def say(*words) -> None:
    """One write, as the other workers write to the same pipe."""
    os.write(1, (' '.join(map(str, words)) + '\n').encode())


folder, asked = Path(sys.argv[1]), []
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda number, frame: asked.append(number))
end_with_parent()
say('started', ranks()[0], restarts(), os.getpid())
while not asked:
    signal.pause()
say('saving', ranks()[0], signal.Signals(asked[0]).name)
if (folder / 'gate').exists():
    open(folder / 'gate').close()
sys.exit(REQUEUE)
