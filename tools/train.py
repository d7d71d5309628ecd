"""Train a model: hsakd_mm/commands/train.py, from a checkout."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hsakd_mm.commands import train
from hsakd_mm.commands.main import run

if __name__ == '__main__':
    run(train)
