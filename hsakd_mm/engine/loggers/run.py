"""``--tensorboard``, ``--wandb`` and ``--mlflow``: into the config, and from the begin to the end of a training."""

import argparse
import contextlib
from collections.abc import Iterator
from importlib.util import find_spec

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from hsakd_mm.engine.loggers import MLflowVisBackend, TensorboardVisBackend, WandbVisBackend
from hsakd_mm.engine.loggers.remembered import OneRun
from hsakd_mm.errors import UserError
from hsakd_mm.processes import REQUEUE, on_all_ranks
from hsakd_mm.registry import type_name

BACKENDS = (TensorboardVisBackend, WandbVisBackend, MLflowVisBackend)
LOGGERS = tuple(f'--{backend.kind}' for backend in BACKENDS)


def add_logger_arguments(parser: argparse.ArgumentParser) -> None:
    """``--tensorboard``, ``--wandb`` and ``--mlflow``, none or several of them."""
    where = {
        TensorboardVisBackend: 'event files in the work directory; tensorboard --logdir work_dirs',
        WandbVisBackend: 'project WANDB_PROJECT, default hsakd_mm; without a network: WANDB_MODE=offline',
        MLflowVisBackend: 'server MLFLOW_TRACKING_URI, default mlflow.db in the work directory',
    }
    for backend, what in where.items():
        parser.add_argument(f'--{backend.kind}', action='store_true', help=f'also log to {backend.title}: {what}')


def use_loggers(cfg: Config, args: argparse.Namespace | None = None) -> None:
    """Add the loggers that were asked for to the config's visualizer; those that it names become ours.

    Args:
        cfg (Config): Of a run, also of MMDetection; changed.
        args: Of :func:`add_logger_arguments`. None: only what the config names.

    Raises:
        UserError: The package of a logger is not installed.
    """
    visualizer = cfg.get('visualizer') or dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
    named = visualizer.get('vis_backends') or []
    backends = [dict(each) for each in (named if isinstance(named, (list, tuple)) else [named])]
    found: list = []
    for kind in BACKENDS:
        own = [each for each in backends if type_name(each.get('type')) == kind.__name__]
        if not own and getattr(args, kind.kind, False):
            own.append({})
            backends += own
        for each in own:
            each['type'] = f'hsakd_mm.{kind.__name__}'
        if own and find_spec(kind.package) is None:
            raise UserError(
                f'{kind.title} needs the package {kind.package}, which is not installed: run pip install '
                f"'hsakd_mm[loggers]' (in a checkout: pip install -e '.[loggers]'), or leave out --{kind.kind} and "
                f'{kind.__name__}.'
            )
        found += own
    if found:
        cfg.visualizer = dict(visualizer, vis_backends=backends)


def begin_loggers(runner: Runner) -> None:
    """Begin the loggers' runs, or go on with them; all ranks call it, and the first one logs.

    Raises:
        UserError: One cannot begin; on all ranks.
    """
    backends = _backends(runner)
    if backends:
        on_all_ranks(_begin, runner, backends)


def _begin(runner: Runner, backends: list) -> None:
    if is_main_process():
        for backend in backends:
            backend.begin(runner)
            runner.logger.info(f'{backend.title}: {backend.place}')


@contextlib.contextmanager
def loggers_that_see_the_end(runner: Runner) -> Iterator[None]:
    """Around a training: the loggers' runs say how it ended."""
    state = 'failed'
    try:
        yield
        state = ''  # LoggerHook has closed them
    except SystemExit as error:
        state = 'preempted' if error.code == REQUEUE else state
        raise
    except KeyboardInterrupt:
        state = 'killed'
        raise
    finally:
        if state and is_main_process():
            for backend in _backends(runner):
                with contextlib.suppress(Exception):  # what ended the training is what is reported
                    backend.end(state)


def _backends(runner: Runner) -> list:
    return [backend for backend in runner.visualizer._vis_backends.values() if isinstance(backend, OneRun)]
