"""Measure a checkpoint: hsakd_mm/commands/test.py, from a checkout."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hsakd_mm.commands import test
from hsakd_mm.commands.main import run

if __name__ == '__main__':
    run(test)
