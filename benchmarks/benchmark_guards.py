"""What the guards of a run cost in its steps: seeding, finite checks, agreeing on a request to stop.

Usage::

    python benchmarks/benchmark_guards.py CONFIG --size 32 --out guards.json [--batch 64] [--steps 20]
    python -m hsakd_mm.engine.torchrun --nproc-per-node 2 benchmarks/benchmark_guards.py CONFIG ... --launcher pytorch

Trains CONFIG's own models on random images as tools/train.py does, with a teacher that nobody trained, and times each
guard by wall clock: on a CPU, where nothing overlaps. Images are seeded by the loader, which is timed here too; in a
run its workers do that.
"""

import argparse
import os
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ['CUDA_VISIBLE_DEVICES'] = ''  # before mmengine looks for a GPU

import torch
from mmengine.config import Config
from mmengine.runner import Runner

import hsakd_mm  # noqa: F401
from benchmarks.origin import origin
from benchmarks.random_run import WARM_UP, random_run
from benchmarks.timing import Phases, timed
from hsakd_mm.datasets import stateless_sampler
from hsakd_mm.engine import loops
from hsakd_mm.engine.before_step import BeforeStep
from hsakd_mm.engine.hooks import finite_hook
from hsakd_mm.engine.hooks.broken_image_hook import BrokenImageHook
from hsakd_mm.engine.hooks.finite_hook import FiniteHook
from hsakd_mm.engine.hooks.preemption_hook import PreemptionHook
from hsakd_mm.engine.launch import user_errors
from hsakd_mm.files import write_json
from hsakd_mm.processes import ranks

GUARDS = {
    'seed of the step': (loops, 'seed_everything'),
    'seeds of the images': (stateless_sampler, 'seed_everything'),
    'state before the step': (BeforeStep, 'take'),
    'random state before the step': (finite_hook, 'random_state'),
    'finite loss and gradients': (FiniteHook, '_check'),
    'finite checkpoint due': (FiniteHook, 'after_train_iter'),
    'asked to stop': (PreemptionHook, 'after_train_iter'),
    'broken images': (BrokenImageHook, 'after_train_iter'),
}


def measure(cfg: Config) -> dict:
    """Median milliseconds of a step and of each guard, and the guards' share."""
    phases, step = Phases('cpu'), loops._ExactLoop.step
    for name, (owner, function) in GUARDS.items():
        timed(owner, function, phases, name)

    def step_with_mark(self, *args) -> None:
        phases.start_step()
        step(self, *args)

    loops._ExactLoop.step = step_with_mark
    Runner.from_cfg(cfg).train()
    steps, guards = phases.collect()
    # From the start of one step to that of the next; the last one's end is the end of the run.
    step_ms = statistics.median(steps[WARM_UP:-1])
    guards_ms = {name: statistics.median(guards[name][WARM_UP:-1]) for name in GUARDS}
    percent = {name: 100 * value / step_ms for name, value in guards_ms.items()}
    return dict(step_ms=step_ms, guards_ms=guards_ms, percent=percent, percent_together=sum(percent.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description='Time the guards of a run.')
    parser.add_argument('config', help='a config with a DistillationHook')
    parser.add_argument('--size', type=int, required=True, help='side of the images in pixels')
    parser.add_argument('--batch', type=int, default=64, help='images a step and process')
    parser.add_argument('--steps', type=int, default=20)
    parser.add_argument('--out', required=True, help='JSON file')
    parser.add_argument('--launcher', choices=['none', 'pytorch'], default='none')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='guards') as folder:
        cfg = Config.fromfile(args.config)
        result = measure(random_run(cfg, folder, args.size, args.batch, args.steps, 0, args.launcher))
    if ranks()[0] == 0:
        world = int(os.environ.get('WORLD_SIZE', 1))
        result = dict(
            origin(world),
            processes=world,
            threads=torch.get_num_threads(),
            batch=args.batch,
            size=args.size,
            steps=args.steps,
            **result,
        )
        write_json(args.out, result)
        for name, value in result['percent'].items():
            print(f'{value:7.3f} %  {name}')
        print(f'{result["percent_together"]:7.3f} %  of a step of {result["step_ms"]:.0f} ms')


if __name__ == '__main__':
    with user_errors():
        main()
