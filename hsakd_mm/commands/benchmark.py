"""Pretrain by several methods, for several seeds, then a detector from each backbone: tables of how they compare.

Usage::

    hsakd-mm benchmark configs/bench/front/few_labels.py
    python tools/benchmark.py configs/bench/few_labels/vehicles.py [--only NAME ...] [--seeds 0 1 2]

Called again, it continues where it stopped and skips what is done; it can be interrupted at any time. The tables are in
<work dir>/report.{md,html,json,png} and, where the bench names a detector, in <work dir>/detectors/ or the folder that
the file names. hsakd_mm/experiments/bench.py says what a bench file holds.
"""

import argparse

from hsakd_mm.commands.arguments import add_config_options
from hsakd_mm.engine.named_config import config_path
from hsakd_mm.engine.options import Options
from hsakd_mm.errors import UserError
from hsakd_mm.experiments.bench import Bench
from hsakd_mm.experiments.provenance import typed_command
from hsakd_mm.experiments.run_bench import run_bench

INTERRUPTED = 'stopped: the same command continues.'


class _Options(Options):
    """Keeps the words as they were typed too, for the runs' own command lines."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        namespace.words = [*namespace.words, *values]  # the option may come several times
        super().__call__(parser, namespace, values, option_string)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train methods side by side, and detectors from their backbones.')
    parser.add_argument('bench', help='bench file, such as configs/bench/few_labels/vehicles.py')
    parser.add_argument(
        '--only',
        nargs='+',
        default=[],
        metavar='NAME',
        help='these runs and what they need; with a detector also "random". The reports cover all that is done',
    )
    parser.add_argument(
        '--seeds',
        nargs='+',
        type=int,
        default=[],
        metavar='SEED',
        help="default: the bench file's, else 0 1 2; with a detector, of the detector and its pretraining",
    )
    parser.add_argument('--work-dir', help="default: the bench file's, else work_dirs/<its folder>")
    parser.add_argument(
        '--jobs',
        type=int,
        metavar='N',
        help="runs at a time. Default: the bench file's; without GPU and where the file "
        'names threads, as many as there are cores; else 1',
    )
    parser.add_argument('--no-pretraining', action='store_true', help='start with the detectors: the rest is done')
    parser.add_argument(
        '--smoke', action='store_true', help='one epoch on a few images: see that everything runs, in minutes'
    )
    add_config_options(parser, 'change the config of every pretraining, as for hsakd-mm train', action=_Options)
    parser.set_defaults(words=[])
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if min(args.seeds or [0]) < 0:
        raise UserError(f'--seeds takes numbers of 0 or more, and got {min(args.seeds)}.')
    if args.jobs is not None and args.jobs < 1:
        raise UserError(f'--jobs takes a number of 1 or more, and got {args.jobs}.')
    args.bench = config_path(args.bench)
    bench = Bench(args.bench, None, args.work_dir, args.cfg_options, args.words, args.smoke)
    if args.no_pretraining and not bench.detector:
        raise UserError(f'--no-pretraining starts with the detectors, and {args.bench} names none: leave it out.')
    if set(args.seeds) - set(bench.seeds) and not bench.detector:  # more of them, beside those of the file
        seeds = [*bench.seeds, *args.seeds]
        bench = Bench(args.bench, seeds, args.work_dir, args.cfg_options, args.words, args.smoke)
    run_bench(bench, typed_command(), args.only, args.seeds, not args.no_pretraining, args.jobs)
