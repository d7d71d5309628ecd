"""Measure a checkpoint on its config's test set.

Usage::

    hsakd-mm test CONFIG CHECKPOINT [--branches] [--out FILE.json]
    bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [the same options]
"""

import argparse
import json
import os

from mmengine.dist import is_main_process

from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.checkpoints.work_dir import find_checkpoint
from hsakd_mm.commands.arguments import add_config_options, add_processes, parse_worker
from hsakd_mm.commands.several_gpus import start
from hsakd_mm.engine.branches import report_branch_accuracy
from hsakd_mm.engine.class_match import match_classes
from hsakd_mm.engine.launch import prepare_launcher
from hsakd_mm.engine.preflight import load_config, load_weights, prepare_work_dir
from hsakd_mm.engine.quiet import VERBOSE, build_runner, end_start, prints_into_log
from hsakd_mm.files import digest_of, write_atomically


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Measure a checkpoint on the test set.')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file, every weight of which has to fit, or a work directory')
    parser.add_argument('--work-dir', help='for logs; default: work_dirs/<config>')
    parser.add_argument('--out', metavar='FILE', help='write the metrics as JSON')
    parser.add_argument('--branches', action='store_true', help='also report the accuracy of each branch')
    parser.add_argument(
        '--ignore-class-names',
        action='store_true',
        help="do not compare the names of the checkpoint's classes with those of the test data",
    )
    add_config_options(parser, 'change the config: test_dataloader.batch_size=8')
    parser.add_argument('--verbose', action='store_true', help=VERBOSE)
    add_processes(parser)
    return parse_worker(parser)


def main() -> None:
    args = parse_args()
    if args.gpus is not None:
        start('test', args.gpus)
    cfg = load_config(args.config, args.cfg_options, needs=('model', 'test_dataloader', 'test_cfg', 'test_evaluator'))
    prepare_work_dir(cfg, args.work_dir, args.config)
    if args.branches:
        report_branch_accuracy(cfg)
    args.checkpoint = find_checkpoint(args.checkpoint, 'train it first, or name a file.')
    checkpoint = load_checkpoint(args.checkpoint)
    cfg.load_from, cfg.resume = None, False  # loaded below, where nothing may be left out
    prepare_launcher(cfg, args.launcher)

    runner = build_runner(cfg, args.verbose)
    load_weights(runner, checkpoint, args.checkpoint)
    with prints_into_log(runner.logger):
        images = len(runner.test_loop.dataloader.dataset)
    if not args.ignore_class_names:
        dataset, switch = runner.test_dataloader.dataset, 'add --ignore-class-names'
        if said := match_classes(runner.model, checkpoint, dataset, args.checkpoint, switch):
            runner.logger.info(said)
    log = os.path.relpath(runner.logger.log_file)
    runner.logger.info(f'Testing {args.checkpoint} on {images:,} images, as in {args.config}; log: {log}')
    end_start(runner.logger)
    metrics = {key: as_json(value) for key, value in runner.test().items()}  # logs them
    if args.out and is_main_process():
        origin = dict(config=args.config, checkpoint=args.checkpoint, sha256=digest_of(args.checkpoint))
        content = dict(metrics=metrics, **origin)
        write_atomically(args.out, lambda file: file.write(json.dumps(content, indent=2).encode()))


def as_json(value):
    """A metric as JSON has it: a number, or of an array, such as a confusion matrix, its lists."""
    if hasattr(value, 'tolist'):  # numpy's and torch's, of any size
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return value if isinstance(value, str | None) else float(value)
