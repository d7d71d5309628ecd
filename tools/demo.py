"""Distil, export, transfer and report on the embedded data; see configs/demo."""

import argparse
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from hsakd_mm.engine.launch import user_errors
from hsakd_mm.experiments import run_demo

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--smoke',
        action='store_true',
        help='one epoch of everything: see that it runs, in about two minutes; the numbers mean nothing',
    )
    args = parser.parse_args()
    os.chdir(ROOT)  # the demo's configs name its data and work folders from here
    with user_errors('stopped: run bash tools/demo.sh again to continue.'):
        run_demo.run(args.smoke)
