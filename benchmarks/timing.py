"""Times of a step and of its phases, without making the device wait inside a step."""

import statistics
import time
from contextlib import contextmanager

import torch


class Phases:
    """``with phases('forward'): ...`` times a phase; on a GPU by events, read when :meth:`collect` is called.

    Phases may be nested. Under a name, the times of one step are added up.
    """

    def __init__(self, device: str) -> None:
        self.cuda = torch.device(device).type == 'cuda'
        self.step_marks: list = []
        self.spans: list = []  # (number of the step, name, start, end)

    def mark(self):
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def start_step(self) -> None:
        self.step_marks.append(self.mark())

    @contextmanager
    def __call__(self, name: str):
        start = self.mark()
        yield
        self.spans.append((len(self.step_marks), name, start, self.mark()))

    def collect(self) -> tuple[list, dict]:
        """Milliseconds of each step since the last call, and of each phase, by name, in each step."""
        self.step_marks.append(self.mark())
        if self.cuda:
            torch.cuda.synchronize()
        steps = [self._ms(start, end) for start, end in zip(self.step_marks, self.step_marks[1:])]
        phases: dict = {}
        for number, name, start, end in self.spans:
            times = phases.setdefault(name, [0.0] * len(steps))
            times[number - 1] += self._ms(start, end)
        self.step_marks, self.spans = [], []
        return steps, phases

    def _ms(self, start, end) -> float:
        return start.elapsed_time(end) if self.cuda else 1e3 * (end - start)


def timed(owner, name: str, phases: Phases, phase: str) -> None:
    """Have each call of ``owner.name`` timed as ``phase``."""
    usual = getattr(owner, name)

    def call(*args, **kwargs):
        with phases(phase):
            return usual(*args, **kwargs)

    setattr(owner, name, call)


def matrix_peak(device: str, seconds: float = 1.0) -> tuple[float, str]:
    """FLOP/s of a large matrix product on random data, the best of repeated blocks, and its format.

    bfloat16 on a GPU; float32 on a CPU, where many have no instruction for bfloat16 products.
    """
    cuda = torch.device(device).type == 'cuda'
    size, repeats, dtype = (8192, 20, torch.bfloat16) if cuda else (1024, 2, torch.float32)
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    phases, rates, end = Phases(device), [], time.perf_counter() + seconds
    for _ in range(3):
        one @ other
    while not rates or time.perf_counter() < end:
        phases.start_step()
        for _ in range(repeats):
            one @ other
        (ms,), _ = phases.collect()
        rates.append(repeats * 2 * size**3 / (ms / 1e3))
    return max(rates), str(dtype).removeprefix('torch.')


def median(values: list) -> float:
    return statistics.median(values)
