"""A worker that saves when it is asked to, for tests of the launcher: the saving takes until it is let.

``worker.py FOLDER``: creates ``FOLDER/started.RANK.RESTARTS`` with its pid. On SIGTERM or SIGUSR1 it creates
``FOLDER/saving.RANK``, reads the FIFO ``FOLDER/gate`` if there is one, and ends with 75.
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
temporary = folder / f'{os.getpid()}.tmp'
temporary.write_text(str(os.getpid()))
temporary.rename(folder / f'started.{ranks()[0]}.{restarts()}')
while not asked:
    signal.pause()
(folder / f'saving.{ranks()[0]}').write_text(signal.Signals(asked[0]).name)
if (folder / 'gate').exists():
    (folder / 'gate').read_text()
sys.exit(REQUEUE)
