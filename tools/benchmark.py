"""Compare methods: hsakd_mm/commands/benchmark.py, from a checkout."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hsakd_mm.commands import benchmark
from hsakd_mm.commands.main import run

if __name__ == '__main__':
    run(benchmark)
