"""Replay the step at which FiniteHook stopped a run: its losses, and the first module whose output is not finite.

python tools/analysis_tools/replay_step.py work_dirs/imagenet_r34_r18
python tools/analysis_tools/replay_step.py work_dirs/imagenet_r34_r18/non_finite/iter_4321_rank0.pth

The file holds the state before the step and the batch; the teacher is read from where the run read it. Modules that a
config imports by custom_imports are not imported for a file's sake: name them with --import.
"""

import argparse
import importlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import hsakd_mm  # noqa: F401  patches mmengine before it is used
from hsakd_mm.engine.failed_step import load_failed_step
from hsakd_mm.engine.launch import user_errors
from hsakd_mm.engine.replay import replay


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('path', metavar='FILE_OR_WORK_DIR', help='of a folder the newest file in its non_finite/')
    parser.add_argument('--import', dest='modules', nargs='+', default=[], metavar='MODULE', help='Python modules')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    for module in args.modules:
        importlib.import_module(module)
    step = load_failed_step(args.path)
    done = replay(step)
    print(f'iteration {step["iter"] + 1}, epoch {step["epoch"] + 1}, rank {step["rank"]}, seed {step["seed"]}')
    for note in done.notes:
        print(f'note: {note}')
    for name, value in done.losses.items():
        print(f'{name}: {value:.6g} (in the run {step["losses"].get(name, value):.6g})')
    print(f'first module whose output is not finite: {done.first or "none"}')
    if done.gradients:
        print(f'gradients that are not finite: {len(done.gradients)}, the last is of {done.gradients[-1]}')
    for image in step['images']:
        print(f'image: {image}')


if __name__ == '__main__':
    with user_errors():
        main()
