"""Measure a pretrained backbone by a linear probe, or by its nearest neighbours.

Usage::

    hsakd-mm linear-probe CONFIG CHECKPOINT [--resume [FILE]] [--out FILE.json]
    python tools/linear_probe.py CONFIG CHECKPOINT --knn [K] [--out FILE.json]

On several GPUs a probe trains as any config does, with its checkpoint in the config::

    bash tools/dist_train.sh CONFIG GPUS --cfg-options model.checkpoint=CHECKPOINT
"""

import argparse
import copy
import json
import os

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
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.knn import TEMPERATURE, K, knn_accuracy
from hsakd_mm.evaluation.linear_probe import LinearProbe
from hsakd_mm.experiments.provenance import provenance, typed_command
from hsakd_mm.files import digest_of
from hsakd_mm.processes import launched_by

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
    result = (
        neighbours(cfg, args.knn, args.verbose)
        if args.knn is not None
        else train(cfg, args.resume, args.overwrite, args.verbose)
    )
    out = args.out or os.path.join(cfg.work_dir, 'linear_probe.json' if args.knn is None else 'knn.json')
    result.update(
        config=args.config,
        checkpoint=cfg.model.checkpoint,
        checkpoint_sha256=digest_of(cfg.model.checkpoint),
        **provenance(typed_command(), cfg.randomness.get('seed')),
    )
    os.makedirs(os.path.dirname(os.path.abspath(out)), exist_ok=True)
    with open(out, 'w') as file:
        json.dump(result, file, indent=2)
    print(f'{out}: ' + ', '.join(f'{name} {value:.2f} %' for name, value in result['metrics'].items()))


def train(cfg: Config, resume: str | None, overwrite: bool = False, verbose: bool = False) -> dict:
    """Train the probe; its top-1 after the last epoch and of the best, which the paper reports."""
    checkpoint = find_checkpoint_to_resume(cfg, resume, overwrite)
    cfg.default_hooks.preemption = None  # a probe is short, and goes on by --resume
    make_exact(cfg)
    prepare_launcher(cfg, 'none')
    runner = build_runner(cfg, verbose)
    if checkpoint is not None:
        runner.model.init_weights()
        require_same_backbone(runner.model, checkpoint['state_dict'], cfg.load_from)
        load_weights(runner, checkpoint, cfg.load_from)
    warn_if_lr_is_not_scaled(cfg, runner.world_size)
    check_disk(runner)
    train_runner(runner)
    curve = read_curve(cfg.work_dir, 'accuracy/top1')  # of all starts
    return dict(
        method='linear probe',
        epochs=runner.max_epochs,
        metrics=dict(top1_last=curve[-1][1], top1_best=max(top1 for _, top1 in curve)),
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
