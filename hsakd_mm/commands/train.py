"""Train: pretraining configs and MMDetection's alike; the config decides.

Usage::

    hsakd-mm train CONFIG [--work-dir DIR] [--resume [FILE]] [--amp] [--auto-scale-lr]
    bash tools/dist_train.sh CONFIG GPUS [the same options]
"""

import argparse
import os

from mmengine.config import Config
from mmengine.dist import is_main_process

from hsakd_mm.commands.arguments import add_config_options, add_processes, add_recipe, add_resume, parse_worker
from hsakd_mm.commands.several_gpus import start
from hsakd_mm.engine.branches import report_branch_accuracy
from hsakd_mm.engine.exact import make_exact
from hsakd_mm.engine.hooks.preemption_hook import listen
from hsakd_mm.engine.hooks.progress_hook import report_progress
from hsakd_mm.engine.initial_weights import check_backbones, start_from_weights
from hsakd_mm.engine.launch import check_sync_bn, prepare_launcher
from hsakd_mm.engine.loggers.run import add_logger_arguments, use_loggers
from hsakd_mm.engine.optim import check_amp, use_amp, warn_if_bfloat16_is_slow
from hsakd_mm.engine.preflight import (
    check_disk,
    check_same_checkpoint,
    find_checkpoint_to_resume,
    load_config,
    load_weights,
    prepare_work_dir,
    warn_if_lr_is_not_scaled,
)
from hsakd_mm.engine.quiet import VERBOSE, build_runner, prints_into_log
from hsakd_mm.engine.run_mark import RunMark
from hsakd_mm.engine.training import train
from hsakd_mm.engine.work_dir_lock import only_run
from hsakd_mm.errors import UserError
from hsakd_mm.experiments.provenance import provenance, typed_command
from hsakd_mm.files import write_json
from hsakd_mm.processes import is_restart, ranks
from hsakd_mm.transfer.detector import check_channels

INTERRUPTED = 'interrupted: the same command with --resume goes on from the last checkpoint.'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a model.')
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='for logs and checkpoints; default: work_dirs/<config>')
    add_resume(
        parser, 'go on from this checkpoint; without FILE from the last one of the work directory, if there is any'
    )
    add_recipe(parser, 'no validation while training')
    parser.add_argument('--branches', action='store_true', help='also report the accuracy of each branch')
    add_config_options(parser, 'change the config: optim_wrapper.optimizer.lr=0.1; a list is key="[a,b]" or key=a,b')
    add_logger_arguments(parser)
    parser.add_argument('--verbose', action='store_true', help=VERBOSE)
    add_processes(parser)
    return parse_worker(parser)


def main() -> None:
    args = parse_args()
    if args.gpus is not None:
        start('train', args.gpus)
    listen()
    cfg = load_config(args.config, args.cfg_options, needs=('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'))
    prepare_work_dir(cfg, args.work_dir, args.config)
    overwrite = args.overwrite and not is_restart()  # which goes on with the run that did so
    resume = RunMark(cfg.work_dir, overwrite).to_resume(args.resume)
    with only_run(cfg.work_dir):
        run(args, cfg, resume, overwrite)


def run(args: argparse.Namespace, cfg: Config, resume: str | None, overwrite: bool) -> None:
    if args.branches:
        report_branch_accuracy(cfg)
    if args.amp:
        use_amp(cfg)
    check_amp(cfg)
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise UserError(
                '--auto-scale-lr needs the batch that the learning rate was chosen '
                'for, and the config does not give it: set '
                'auto_scale_lr.base_batch_size.'
            )
        cfg.auto_scale_lr.enable = True
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    checkpoint = find_checkpoint_to_resume(cfg, resume, overwrite)
    if ranks()[0] == 0:
        RunMark(cfg.work_dir, overwrite).begin()
    make_exact(cfg)
    use_loggers(cfg, args)
    prepare_launcher(cfg, args.launcher)
    check_sync_bn(cfg)

    if cfg.get('default_scope') == 'mmdet':
        check_channels(cfg)
    runner = build_runner(cfg, args.verbose)
    with prints_into_log(runner.logger):
        for hook in runner.hooks:
            if hasattr(hook, 'preflight'):
                hook.preflight()
    check_same_checkpoint(checkpoint)
    if checkpoint is None:
        check_backbones(runner)
    if checkpoint is None and cfg.get('load_from') and cfg.get('default_scope') == 'hsakd_mm':
        start_from_weights(runner, cfg.load_from)
    if checkpoint is not None:
        load_weights(runner, checkpoint, cfg.load_from, resumed=True)
    if is_main_process():
        warn_if_lr_is_not_scaled(cfg, runner.world_size)
        warn_if_bfloat16_is_slow(cfg)
    if is_main_process() and checkpoint is None:  # a model card tells; a resumed run is the run that was started
        origin = provenance(typed_command(), runner.seed)
        write_json(os.path.join(cfg.work_dir, 'provenance.json'), origin)
    del checkpoint  # the runner reads it again by itself
    check_disk(runner)
    report_progress(runner)
    train(runner)
