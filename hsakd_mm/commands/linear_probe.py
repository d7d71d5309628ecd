"""Measure a pretrained backbone by a linear probe, or by its nearest neighbours.

Usage::

    hsakd-mm linear-probe CONFIG CHECKPOINT [--resume [FILE]] [--out FILE.json]
    python tools/linear_probe.py CONFIG CHECKPOINT --knn [K] [--out FILE.json]

On several GPUs a probe trains as any config does, with its checkpoint in the config::

    bash tools/dist_train.sh CONFIG GPUS --cfg-options model.checkpoint=CHECKPOINT
"""

import argparse
import copy
import os
import tempfile
from contextlib import nullcontext

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from hsakd_mm.checkpoints.work_dir import find_checkpoint
from hsakd_mm.commands.arguments import add_config_options, add_resume
from hsakd_mm.engine.exact import make_exact
from hsakd_mm.engine.launch import prepare_launcher
from hsakd_mm.engine.named_config import config_path
from hsakd_mm.engine.preflight import (
    check_disk,
    find_checkpoint_to_resume,
    load_config,
    load_weights,
    prepare_work_dir,
    warn_if_lr_is_not_scaled,
)
from hsakd_mm.engine.quiet import VERBOSE, build_runner
from hsakd_mm.engine.scalars import read_curve
from hsakd_mm.engine.training import train as train_runner
from hsakd_mm.engine.work_dir_lock import only_run
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.knn import TEMPERATURE, K, knn_accuracy
from hsakd_mm.evaluation.linear_probe import LinearProbe
from hsakd_mm.experiments.provenance import provenance, typed_command
from hsakd_mm.files import digest_of, write_json
from hsakd_mm.processes import launched_by

TOP1 = 'accuracy/top1'
INTERRUPTED = 'interrupted: the same command with --resume goes on from the last checkpoint.'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config whose model is a LinearProbe, as in configs/linear')
    parser.add_argument(
        'checkpoint', help='the backbone: a training checkpoint, an exported backbone, or a work directory'
    )
    parser.add_argument(
        '--knn',
        nargs='?',
        type=int,
        const=K,
        metavar='K',
        help=f'no training: let the K nearest training images vote (default: {K})',
    )
    parser.add_argument('--work-dir', help='for logs and checkpoints; default: work_dirs/<config>')
    add_resume(
        parser,
        'go on from this checkpoint of the probe; without FILE from the last '
        'one of the work directory, if there is any',
    )
    parser.add_argument(
        '--out', metavar='FILE', help='write the result as JSON; default: <work dir>/linear_probe.json, or knn.json'
    )
    add_config_options(parser, 'change the config: train_dataloader.dataset.data_root=DIR')
    parser.add_argument('--verbose', action='store_true', help=VERBOSE)
    args = parser.parse_args()
    args.config = config_path(args.config)
    if args.knn is not None and args.resume:
        parser.error('--knn trains nothing: leave out --resume.')
    return args


def main() -> None:
    args = parse_args()
    launched_by('none')
    cfg = load_config(
        args.config,
        args.cfg_options,
        needs=('model', 'train_dataloader', 'val_dataloader', 'train_cfg', 'optim_wrapper'),
    )
    if cfg.model.get('type') not in ('LinearProbe', 'hsakd_mm.LinearProbe'):
        raise UserError(
            f'a config with model.type LinearProbe was expected, and that of '
            f'{args.config} is {cfg.model.get("type")}: use one such as '
            f'configs/linear/mbv2_stl10.py.'
        )
    prepare_work_dir(cfg, args.work_dir, args.config)
    cfg.model.checkpoint = find_checkpoint(args.checkpoint)
    out = args.out or os.path.join(cfg.work_dir, 'linear_probe.json' if args.knn is None else 'knn.json')
    require_writable(out)
    with only_run(cfg.work_dir) if args.knn is None else nullcontext():  # neighbours leave a probe's files alone
        measure(args, cfg, out)


def measure(args: argparse.Namespace, cfg: Config, out: str) -> None:
    result = (
        neighbours(cfg, args.knn, args.verbose)
        if args.knn is not None
        else train(cfg, args.resume, args.overwrite, args.verbose)
    )
    result.update(
        config=args.config,
        checkpoint=cfg.model.checkpoint,
        checkpoint_sha256=digest_of(cfg.model.checkpoint),
        **provenance(typed_command(), cfg.randomness.get('seed')),
    )
    write_json(out, result)
    print(f'{out}: ' + ', '.join(f'{name} {value:.2f} %' for name, value in result['metrics'].items()))


def require_writable(out: str) -> None:
    """Check before the work that its result can be written.

    Raises:
        UserError: It cannot.
    """
    folder = os.path.dirname(os.path.abspath(out))
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b'0' * 4096)
        reason = 'it is a folder' if os.path.isdir(out) else ''
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise UserError(f'the result is to be written to {out}, which is not possible ({reason}): give --out another.')


def train(cfg: Config, resume: str | None, overwrite: bool = False, verbose: bool = False) -> dict:
    """Train the probe; its top-1 after the last epoch and of the best, which the paper reports."""
    checkpoint = find_checkpoint_to_resume(cfg, resume, overwrite)
    cfg.default_hooks.preemption = None  # a probe is short, and goes on by --resume
    make_exact(cfg)
    prepare_launcher(cfg, 'none')
    runner = build_runner(cfg, verbose)
    require_top1(runner)
    if checkpoint is not None:
        runner.model.init_weights()
        require_same_backbone(runner.model, checkpoint['state_dict'], cfg.load_from)
        load_weights(runner, checkpoint, cfg.load_from)
    warn_if_lr_is_not_scaled(cfg, runner.world_size)
    check_disk(runner)
    train_runner(runner)
    curve = read_curve(cfg.work_dir, TOP1)  # of all starts
    if not curve:
        raise UserError(
            f'{TOP1} of each validation was expected in the logs of {cfg.work_dir}, and there is none: train with '
            f"train_cfg.val_begin=1 and mmengine's LocalVisBackend, as configs/_base_/default_runtime.py has it."
        )
    return dict(
        method='linear probe',
        epochs=runner.max_epochs,
        metrics=dict(top1_last=curve[-1][1], top1_best=max(top1 for _, top1 in curve)),
    )


def require_top1(runner: Runner) -> None:
    """Check before training that the validations give what the result is made of.

    Raises:
        UserError: There are none, or they measure something else.
    """
    evaluator = runner.cfg.get('val_evaluator')
    metrics = runner.build_evaluator(copy.deepcopy(evaluator)).metrics if evaluator else []
    prefix, _, _ = TOP1.partition('/')
    if not any(metric.prefix == prefix and 1 in getattr(metric, 'topk', (1,)) for metric in metrics):
        measured = ' and '.join(type(metric).__name__ for metric in metrics) or 'nothing'
        raise UserError(
            f'{TOP1} was expected from val_evaluator, as the result of a probe, and it measures {measured}: set '
            f"val_evaluator=dict(type='Accuracy', topk=(1, 5))."
        )


def neighbours(cfg: Config, k: int, verbose: bool = False) -> dict:
    """k-NN of the validation images among the training images, seen as the former are."""
    bank = copy.deepcopy(cfg.train_dataloader)
    if 'pipeline' not in bank.dataset:
        raise UserError(
            'train_dataloader.dataset was expected to have a pipeline, in whose place '
            'that of validation is put, and it has none: name the set itself.'
        )
    bank.dataset.pipeline = copy.deepcopy(cfg.val_dataloader.dataset.pipeline)
    bank.update(
        drop_last=False, sampler=dict(type='DefaultSampler', shuffle=False), batch_size=cfg.val_dataloader.batch_size
    )
    cfg.train_dataloader = bank  # the Runner then checks and logs what is really used
    runner = build_runner(cfg, verbose)
    runner.model.init_weights()
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    loaders = [Runner.build_dataloader(each, seed=runner.seed) for each in (bank, cfg.val_dataloader)]
    metrics = knn_accuracy(runner.model.to(device), loaders[0], loaders[1], k=k)
    return dict(method='k-NN', k=k, temperature=TEMPERATURE, metrics=metrics)


def require_same_backbone(probe: LinearProbe, state_dict: dict, path: str) -> None:
    """A probe that goes on must stand on the backbone that was named."""
    for key, value in probe.backbone.state_dict().items():
        theirs = state_dict.get(f'backbone.{key}')
        if theirs is not None and key not in probe.unused and not torch.equal(theirs, value.cpu()):
            raise UserError(
                f'the probe in {path} should stand on the backbone of '
                f'{probe.checkpoint}, and it stands on another ({key} differs): choose '
                f'another --work-dir, or leave --resume out.'
            )
