"""A worker that saves when it is asked to, for tests of the launcher: the saving takes until it is let.

``worker.py FOLDER``: prints ``started RANK RESTARTS PID``. On SIGTERM or SIGUSR1 it prints ``saving RANK SIGNAL``,
waits until the FIFO ``FOLDER/gate``, if there is one, is open for writing, and ends with 75.
"""

import os
import signal
import sys
from pathlib import Path

from hsakd_mm.processes import REQUEUE, end_with_parent, ranks, restarts

folder, asked = Path(sys.argv[1]), []
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda number, frame: asked.append(number))
end_with_parent()
print('started', ranks()[0], restarts(), os.getpid(), flush=True)
while not asked:
    signal.pause()
print('saving', ranks()[0], signal.Signals(asked[0]).name, flush=True)
if (folder / 'gate').exists():
    open(folder / 'gate').close()
sys.exit(REQUEUE)
