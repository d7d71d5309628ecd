"""Images per second of a whole run, as tools/train.py makes it: loader, hooks, checks and logs.

Usage::

    python benchmarks/benchmark_run.py configs/hsakd/imagenet_r34_r18.py --batch 256 --amp --out run.json \
        --cfg-options default_hooks.distillation.fold_bn=True optim_wrapper.optimizer.fused=True

benchmarks/benchmark_step.py times the same step by itself. What this takes longer is what a run adds to it. Images are
random bytes in the memory of the workers, so that nothing is decoded.
"""

import argparse
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

import hsakd_mm  # noqa: F401
from benchmarks.origin import origin
from benchmarks.random_run import WARM_UP, random_run
from hsakd_mm.engine.launch import user_errors
from hsakd_mm.engine.optim import check_amp, use_amp
from hsakd_mm.engine.options import Options
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.engine.training import train
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.training_cost import train_size
from hsakd_mm.files import write_json


class Clock(Hook):
    """From the start of the first timed step to the end of the last."""

    priority = 'VERY_HIGH'

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        if batch_idx == WARM_UP:
            wait()
            self.begun = time.perf_counter()

    def after_train_epoch(self, runner) -> None:
        wait()
        self.seconds = time.perf_counter() - self.begun


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='a config with a DistillationHook')
    parser.add_argument('--batch', type=int, default=32, help='images a step')
    parser.add_argument('--size', type=int, help='pixels; default: as the config trains')
    parser.add_argument('--steps', type=int, default=20, help='timed steps')
    parser.add_argument('--workers', type=int, default=4)
    parser.add_argument('--amp', action='store_true')
    parser.add_argument('--out', required=True, metavar='FILE', help='JSON')
    parser.add_argument('--cfg-options', nargs='+', action=Options, metavar='KEY=VALUE', help='change the config')
    args = parser.parse_args()
    if min(args.batch, args.steps) < 1 or args.workers < 0:
        raise UserError('--batch and --steps are positive numbers, --workers is 0 or more, and one is not: correct it.')
    return args


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options, needs=('model', 'optim_wrapper'))
    if args.amp:
        use_amp(cfg)
    check_amp(cfg)
    size, clock = args.size or train_size(cfg), Clock()
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner.from_cfg(random_run(cfg, folder, size, args.batch, args.steps, args.workers, 'none'))
        runner.register_hook(clock)
        train(runner)
    ms = clock.seconds / args.steps * 1e3
    rate = args.batch / ms * 1e3
    settings = dict(config=args.config, batch=args.batch, size=size, steps=args.steps, workers=args.workers)
    found = {'images/s': round(rate, 2), 'ms a step': round(ms, 3)}
    write_json(args.out, dict(origin(), **settings, threads=torch.get_num_threads(), **found))
    print(f'{rate:.1f} images/s, {ms:.1f} ms a step')


if __name__ == '__main__':
    with user_errors():
        main()
