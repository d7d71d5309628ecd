"""Write the demo's digits and digit scenes, or check those that are there."""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hsakd_mm.datasets.digits.prepare import prepare_demo_data
from hsakd_mm.engine.launch import user_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', default='data/demo', help='folder (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='default: %(default)s')
    args = parser.parse_args()
    with user_errors('interrupted: nothing was written; run the same command again.'):
        prepare_demo_data(args.out, args.seed)


if __name__ == '__main__':
    main()
