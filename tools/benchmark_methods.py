"""Train methods side by side, on several seeds, and tabulate what they reached and what they cost.

Usage::

    python tools/benchmark_methods.py configs/bench/cifar100_slice/bench.py [--seeds 0 1 2]
        [--only NAME ...] [--work-dir DIR]

Called again, it continues where it stopped and skips what is done; see hsakd_mm/experiments.
"""

import argparse
import os
import shlex
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import hsakd_mm  # noqa: F401  mends what it must before mmengine and mmcv are used
from hsakd_mm.engine.launch import Options, user_errors
from hsakd_mm.errors import UserError
from hsakd_mm.experiments import run_bench
from hsakd_mm.experiments.bench import Bench


class _Options(Options):
    """Keeps the words as they were typed too, for the runs' own command lines."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        namespace.words = list(values)
        super().__call__(parser, namespace, values, option_string)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train methods side by side.')
    parser.add_argument('bench', help='bench file; hsakd_mm/experiments/bench.py says what is in it')
    parser.add_argument('--seeds', nargs='+', type=int, metavar='SEED', help="default: the bench file's, else 0 1 2")
    parser.add_argument(
        '--only',
        nargs='+',
        default=[],
        metavar='NAME',
        help='these runs and what they need; the report covers all that are done',
    )
    parser.add_argument('--work-dir', help='default: work_dirs/<folder of the bench file>')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_Options,
        metavar='KEY=VALUE',
        help='change the config of every run, as for tools/train.py',
    )
    parser.set_defaults(words=[])
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if min(args.seeds or [0]) < 0:
        raise UserError(f'--seeds takes numbers of 0 or more, and got {min(args.seeds)}.')
    runs = Bench(args.bench, args.seeds, args.work_dir, args.cfg_options, args.words)
    run_bench.run(runs, shlex.join(['python', *sys.argv]), args.only)


if __name__ == '__main__':
    with user_errors('stopped: the same command continues.'):
        main()
