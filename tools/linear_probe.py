"""Measure a backbone by a linear probe, or k-NN: hsakd_mm/commands/linear_probe.py, from a checkout."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hsakd_mm.commands import linear_probe
from hsakd_mm.commands.main import run

if __name__ == '__main__':
    run(linear_probe)
