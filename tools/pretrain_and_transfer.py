"""From a detector's own pictures to its table: hsakd_mm/commands/pretrain_and_transfer.py, from a checkout."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hsakd_mm.commands import pretrain_and_transfer
from hsakd_mm.commands.main import run

if __name__ == '__main__':
    run(pretrain_and_transfer)
