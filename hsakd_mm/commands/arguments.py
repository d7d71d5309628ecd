"""Arguments that several commands have, each in one place."""

import argparse
import os

from hsakd_mm.commands.several_gpus import GPUS
from hsakd_mm.engine.named_config import config_path
from hsakd_mm.engine.options import Options
from hsakd_mm.processes import launched_by


def add_config_options(
    parser: argparse.ArgumentParser, what: str, action: type[Options] = Options, default: dict | None = None
) -> None:
    """``--cfg-options KEY=VALUE ...``, a dict by dotted names."""
    parser.add_argument('--cfg-options', nargs='+', action=action, default=default, metavar='KEY=VALUE', help=what)


def add_resume(parser: argparse.ArgumentParser, what: str) -> None:
    """``--resume [FILE]``, 'auto' without a file; and ``--overwrite``."""
    parser.add_argument('--resume', nargs='?', const='auto', metavar='FILE', help=what)
    parser.add_argument(
        '--overwrite', action='store_true', help="start from the beginning; an earlier run's files are moved aside"
    )


def add_recipe(parser: argparse.ArgumentParser, no_validate: str) -> None:
    """What changes how a training runs, and not its config file."""
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate with the number of images a step'
    )
    parser.add_argument('--no-validate', action='store_true', help=no_validate)


def add_processes(parser: argparse.ArgumentParser) -> None:
    """``--gpus N``, and what a launcher gives its workers."""
    parser.add_argument('--gpus', type=int, metavar='N', help=GPUS)
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def parse_worker(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments of a command with :func:`add_processes`; the local rank is in the environment too."""
    args = parser.parse_args()
    args.config = config_path(args.config)
    launched_by(args.launcher)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args
