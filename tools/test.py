"""Measure a checkpoint: hsakd_mm/commands/test.py, from a checkout."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hsakd_mm.commands.test import main

if __name__ == '__main__':
    main()
