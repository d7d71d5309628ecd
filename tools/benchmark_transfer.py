"""What pretraining is worth to a detector: pretrain by every method, transfer each, compare.

Usage::

    python tools/benchmark_transfer.py [--scale gpu|cpu] [--only NAME ...] [--seeds 0 1 2]

The plan stands in configs/bench/vehicles/gpu.py or cpu.py (another bench file may be named). Called
again, it continues where it stopped and skips what is done; Ctrl-C is no harm. The comparison is
written to <work dir>/detectors/report.{html,md,json,png}.
"""

import argparse
import os
import shlex
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import hsakd_mm  # noqa: F401  mends what it must before mmengine and mmcv are used
from hsakd_mm.checkpoints.source import RANDOM
from hsakd_mm.engine.launch import user_errors
from hsakd_mm.errors import UserError
from hsakd_mm.experiments import run_bench
from hsakd_mm.experiments.bench import Bench
from hsakd_mm.experiments.bench_detectors import (
    check_names,
    check_transfer,
    detector_seeds,
    plan_transfer,
    pretraining_seed,
)

BENCH = os.path.join('configs', 'bench', 'vehicles')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='What pretraining is worth to a detector.')
    parser.add_argument('bench', nargs='?', help='bench file with transfer=dict(config=...)')
    parser.add_argument('--scale', choices=('gpu', 'cpu'), help='cpu: reduced for two cores; default: gpu')
    parser.add_argument(
        '--only',
        nargs='+',
        default=[],
        metavar='NAME',
        help=f'do these rows and what they need; "{RANDOM}" is one. The comparison covers all that is done',
    )
    parser.add_argument(
        '--seeds',
        nargs='+',
        type=int,
        default=[],
        metavar='SEED',
        help="of the detector and, where the bench has several seeds, of its pretraining; default: the bench file's",
    )
    parser.add_argument('--no-pretraining', action='store_true', help='start with the detectors: the rest is done')
    parser.add_argument('--work-dir', help="default: the bench file's")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if min(args.seeds or [0]) < 0:
        raise UserError(f'--seeds takes numbers of 0 or more, and got {min(args.seeds)}.')
    if args.bench and args.scale:
        raise UserError(
            f'--scale chooses one of the files in {BENCH}, and {args.bench} is named as well: give one of the two.'
        )
    file = args.bench or os.path.relpath(os.path.join(ROOT, BENCH, f'{args.scale or "gpu"}.py'))
    plan = Bench(file, work_dir=args.work_dir)
    check_names(plan, args.only)
    only = [name for name in args.only if name != RANDOM]
    if not args.no_pretraining and (only or not args.only):
        check_transfer(plan, args.seeds)
        run_bench.run(
            plan,
            shlex.join(['python', *sys.argv]),
            only,
            [pretraining_seed(plan, seed) for seed in detector_seeds(plan, args.seeds)],
        )
    detectors = plan_transfer(plan, args.seeds, args.only)
    detectors.check()
    detectors.run(os.path.join(ROOT, 'tools'), args.only)


if __name__ == '__main__':
    with user_errors('stopped: the same command continues.'):
        main()
