"""Images per second of a training step, its phases, memory, and share of the machine's measured matrix peak.

Usage::

    python benchmarks/benchmark_step.py configs/hsakd/imagenet_r34_r18.py --random-teacher --batch 256 \
        --variants amp amp+channels_last amp+channels_last+fold_bn+compile --against reference --out step.json

All variants run in this process, in turns; each number is a median over all turns. Images are random bytes, so that no
time is spent on reading them (benchmarks/benchmark_loader.py measures that). benchmarks/variants.py says what a
variant is. An image is a source image; its four views count as one.
"""

import argparse
import gc
import itertools
import os
import resource
import sys
import time
from functools import partial

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import torch
from torch import Tensor

import hsakd_mm  # noqa: F401  patches mmengine before it is used
from benchmarks.origin import origin
from benchmarks.timing import Phases, matrix_peak, median
from benchmarks.variants import Networks, parse, set_precision
from hsakd_mm.engine.cpu_memory import NEVER, USUAL, set_thresholds
from hsakd_mm.engine.launch import user_errors
from hsakd_mm.engine.options import Options
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.training_cost import train_size, training_macs
from hsakd_mm.files import write_json


class Turn:
    """A variant: its step, its batches, and the times that it has taken so far."""

    def __init__(self, name: str, nets: Networks, device: str, batch: int, size: int, classes: int) -> None:
        self.name, self.device, self.batch = name, device, batch
        self.phases = Phases(device)
        whose, _, variant = name.rpartition(':')
        self.precision, levers = parse(variant)
        self.levers = levers
        make = nets.reference if whose else nets.ours
        self.make = partial(make, variant, device, self.phases)
        self.size, self.classes = size, classes
        self.step = None
        self.steps_ms: list = []
        self.wall_s, self.taken = 0.0, 0
        self.phases_ms: dict = {}
        self.found: dict = {}

    def start(self) -> None:
        """Build it and run its first step; where the memory does not suffice, with half the batch."""
        begun = time.perf_counter()
        while True:
            set_precision(self.precision)
            self.set_memory()
            try:
                self.step = self.make()
                self.batches = random_batches(self.batch, self.size, self.classes, self.step, self.device)
                self.run(1)
                break
            except torch.OutOfMemoryError:
                self.step = None
                if self.batch < 2:
                    raise
                self.batch //= 2
            release()
        self.steps_ms, self.phases_ms, self.wall_s, self.taken = [], {}, 0.0, 0
        self.found['first step, s'] = round(time.perf_counter() - begun, 2)

    def run(self, steps: int) -> None:
        """Take and time ``steps`` steps, after one that is not timed."""
        set_precision(self.precision)
        self.set_memory()
        self.take(1)
        self.phases.collect()
        cuda = self.device == 'cuda'
        if cuda:
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        begun = time.perf_counter()
        self.values = self.take(steps)
        times, phases = self.phases.collect()  # waits for the device
        self.wall_s += time.perf_counter() - begun
        self.taken += steps
        self.steps_ms += times
        for name, values in phases.items():
            self.phases_ms.setdefault(name, []).extend(values)
        if cuda:
            peak = torch.cuda.max_memory_allocated() - before + self.step.static_bytes()
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # of the process, all variants
        self.found['peak memory, GiB'] = round(max(peak / 2**30, self.found.get('peak memory, GiB', 0)), 3)

    def set_memory(self) -> None:
        if self.device == 'cpu':
            set_thresholds(*NEVER if 'keep_memory' in self.levers else USUAL)

    def take(self, steps: int) -> dict:
        values: dict = {}
        for _ in range(steps):
            self.phases.start_step()
            with self.phases('data wait'):
                images, labels = next(self.batches)
            values = self.step(images, labels)
        return values

    def result(self, flops_an_image: float, peak: float) -> dict:
        """What was measured, in units of the names."""
        ms = median(self.steps_ms)
        phases = {name: round(median(values), 3) for name, values in self.phases_ms.items()}
        if 'teacher forward' in phases:
            phases['student forward, views and losses'] = round(phases['forward'] - phases['teacher forward'], 3)
        rate = self.batch / ms * 1e3
        done = dict(
            batch=self.batch,
            **{'images/s': round(rate, 2), 'ms a step': round(ms, 3)},
            **{'images/s by the wall clock': round(self.batch * self.taken / self.wall_s, 2)},
            **{'ms by phase': phases, 'ms of each step': [round(each, 3) for each in self.steps_ms]},
            **self.found,
        )
        done['model TFLOP/s'] = round(rate * flops_an_image / 1e12, 3)
        done['share of the matrix peak'] = round(rate * flops_an_image / peak, 4)
        done['loss of the last step'] = float(torch.as_tensor(self.values['loss']).detach())
        return done


def release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def random_batches(batch: int, size: int, classes: int, step, device: str):
    """Endless batches, as the step's loader would give them; pinned where they go to a GPU."""
    generator, made = torch.Generator().manual_seed(0), []
    for _ in range(2):
        images = torch.randint(256, (batch, 3, size, size), dtype=torch.uint8, generator=generator)
        labels = torch.randint(classes, (batch,), generator=generator)
        pair: tuple[Tensor, Tensor] = (step.batches(images), labels)
        made.append(tuple(each.pin_memory() for each in pair) if device == 'cuda' else pair)
    return itertools.cycle(made)


def top_kernels(turn: Turn, count: int = 10) -> list:
    """The kernels (on a CPU: operators) in which two steps of a variant spend most time."""
    from torch.profiler import ProfilerActivity, profile

    set_precision(turn.precision)
    turn.take(1)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if turn.device == 'cuda' else [])]
    with profile(activities=activities, acc_events=True) as profiler:
        turn.take(2)
        turn.phases.collect()
    cuda = turn.device == 'cuda'
    events = [each for each in profiler.key_averages() if not cuda or each.device_type.name == 'CUDA']
    spent = {each.key: (each.self_device_time_total if cuda else each.self_cpu_time_total) for each in events}
    total = sum(spent.values()) or 1
    calls = {each.key: each.count for each in events}
    order = sorted(spent, key=spent.get, reverse=True)[:count]
    return [
        {'kernel': key[:160], 'ms a step': round(spent[key] / 2e3, 3), 'share': round(spent[key] / total, 4),
         'calls a step': calls[key] / 2}
        for key in order
    ]  # fmt: skip


def benchmark(args: argparse.Namespace) -> dict:
    """Run all variants in turns; the report is written after each turn, so that a run that is cut off leaves one."""
    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    cfg = load_config(args.config, args.cfg_options, needs=('model', 'optim_wrapper'))
    size = args.size or train_size(cfg)
    flops = 2 * training_macs(cfg, size)
    names = list(args.variants)
    if args.against:
        names += [f'reference:{precision}' for precision in dict.fromkeys(parse(name)[0] for name in names)]
        names += [f'reference:{precision}' for precision in args.reference if f'reference:{precision}' not in names]
    nets = Networks(cfg, args.random_teacher)
    report = dict(
        origin(),
        config=args.config,
        device=device,
        threads=torch.get_num_threads(),
        batch=args.batch,
        size=size,
        data='random bytes in memory',
        **{'TFLOP of model for an image': flops / 1e12},
        cudnn=torch.backends.cudnn.version(),
        variants={},
    )
    peak, dtype = matrix_peak(device)
    report['measured matrix peak'] = {'TFLOP/s': round(peak / 1e12, 3), 'format': dtype}
    turns: list[Turn] = []
    for name in names:
        turn = Turn(name, nets, device, args.batch, size, cfg.model.backbone.num_classes)
        print(f'{name}: first step ...', flush=True)
        try:
            turn.start()
        except Exception as error:  # one variant's failure must not cost the others their numbers
            report['variants'][name] = dict(error=f'{type(error).__name__}: {error}'[:2000])
            print(f'{name}: {type(error).__name__}: {str(error)[:300]}', flush=True)
            turn.step = None
            release()
            continue
        turns.append(turn)
        release()
    for number in range(args.rounds):
        for turn in turns:
            turn.run(args.steps)
            release()
            report['variants'][turn.name] = turn.result(flops, peak)
            write(report, args.out)
        report['turns'] = number + 1
    for turn in turns if args.profile else []:
        report['variants'][turn.name]['top kernels'] = top_kernels(turn)
        write(report, args.out)
        release()
    write(report, args.out)
    return report


def write(report: dict, path: str | None) -> None:
    if path:
        write_json(path, report)


def table(report: dict) -> str:
    lines = [f'{"variant":48}{"images/s":>10}{"ms":>10}{"GiB":>8}{"TFLOP/s":>9}{"of peak":>9}  phases (ms)']
    for name, done in report['variants'].items():
        if 'error' in done:
            lines.append(f'{name:48}{done["error"][:80]}')
            continue
        phases = ', '.join(f'{phase} {value:.1f}' for phase, value in done['ms by phase'].items())
        cost = f'{done.get("model TFLOP/s", 0):9.1f}{done.get("share of the matrix peak", 0):9.1%}'
        lines.append(
            f'{name:48}{done["images/s"]:10.1f}{done["ms a step"]:10.1f}{done["peak memory, GiB"]:8.1f}{cost}  {phases}'
        )
    return '\n'.join(lines)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of a training run, such as configs/hsakd/imagenet_r34_r18.py')
    parser.add_argument(
        '--variants', nargs='+', default=['fp32', 'amp'], metavar='NAME', help='such as amp+channels_last'
    )
    parser.add_argument('--against', choices=['reference'], help="also the reference, at the variants' precisions")
    parser.add_argument(
        '--reference', nargs='+', default=[], metavar='PRECISION', help='further precisions of the reference'
    )
    parser.add_argument('--batch', type=int, default=32, help='source images a step')
    parser.add_argument('--size', type=int, help='pixels; default: as the config trains')
    parser.add_argument('--steps', type=int, default=5, help='timed steps of a variant in a turn')
    parser.add_argument('--rounds', type=int, default=3, help='turns of each variant')
    parser.add_argument('--device', choices=['cpu', 'cuda'])
    parser.add_argument('--threads', type=int, help="of torch on the CPU; default: torch's")
    parser.add_argument('--random-teacher', action='store_true', help="do not load the teacher's checkpoint")
    parser.add_argument('--profile', action='store_true', help='also name the ten kernels that take most time')
    parser.add_argument('--out', metavar='FILE', help='JSON')
    parser.add_argument('--cfg-options', nargs='+', action=Options, metavar='KEY=VALUE', help='change the config')
    args = parser.parse_args()
    if min(args.batch, args.steps, args.rounds) < 1:
        raise UserError('--batch, --steps and --rounds are positive numbers, and one of them is not: correct it.')
    return args


def main() -> None:
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    print(table(benchmark(args)))


if __name__ == '__main__':
    with user_errors():
        main()
