"""The tables of measurements that benchmarks/ and tools/ wrote as JSON or CSV, for :mod:`.published`."""

import csv
import os
import shlex
from collections.abc import Sequence

from .origins import ABSENT
from .page import Table

REFERENCE = 'reference:'
ROLES = ('student', 'teacher', 'export', 'detector')
COVERAGE = {
    'file': 'File',
    'architecture': 'Architecture',
    'parameters': 'Params (M)',
    'taps': 'Taps',
    'strides': 'Strides',
    'size': 'Image',
    **{role: role.capitalize() for role in ROLES},
    'why': 'Why not',
}


def step(*processes: dict) -> Table:
    """Variants of a training step, of one or several calls of benchmark_step.py, against the first reference."""
    heads = ('Variant', 'Images/s', 'Step (ms)', 'Memory (GiB)', 'Share of the matrix peak (%)', 'To the reference (×)')
    done = [
        (name if number == 1 or name not in processes[0]['variants'] else f'{name}, process {number}', found)
        for number, process in enumerate(processes, 1)
        for name, found in process['variants'].items()
        if 'error' not in found
    ]
    reference = next((found['images/s'] for name, found in done if name.startswith(REFERENCE)), None)
    return Table(
        heads,
        [
            [
                name,
                f'{found["images/s"]:,.2f}',
                f'{found["ms a step"]:,.1f}',
                f'{found["peak memory, GiB"]:.1f}',
                f'{100 * found["share of the matrix peak"]:.1f}',
                ABSENT if reference is None else f'{found["images/s"] / reference:.2f}',
            ]
            for name, found in done
        ],
    )


def busy(content: dict) -> Table:
    """A step alone and beside a busy process, of benchmark_busy.py."""
    times: dict = {}
    for name, found in content['ms a step'].items():
        how, _, beside = name.rpartition(', ')
        times.setdefault(how, {})[beside] = f'{found["median"]:,.0f}'
    columns = list(dict.fromkeys(beside for of_how in times.values() for beside in of_how))
    heads = ['alone' if beside == '0 busy' else f'beside {beside}' for beside in columns]
    return Table(
        ['How threads wait for each other', *(f'Step, {head} (ms)' for head in heads)],
        [[how, *(of_how.get(beside, ABSENT) for beside in columns)] for how, of_how in times.items()],
    )


def small_maps(content: dict) -> Table:
    """Layers with small outputs by ways of computing them, of benchmark_small_maps.py."""
    ways = list(content['layers'][0]['ms'])
    return Table(
        ['Channels, kernel, map', *(f'{way} (ms)' for way in ways)],
        [[row['layer'].replace('->', '→'), *(f'{row["ms"][way]:.2f}' for way in ways)] for row in content['layers']],
    )


def guards(*runs: dict) -> Table:
    """What the guards cost of a step, of calls of benchmark_guards.py."""
    return Table(
        ('Config', 'Images', 'Pixels', 'Processes', 'Step (s)', 'Guards (%)', 'Finite checks (%)'),
        [
            [
                next(os.path.splitext(word)[0] for word in shlex.split(run['command']) if word.startswith('configs/')),
                str(run['batch']),
                str(run['size']),
                str(run['processes']),
                f'{run["step_ms"] / 1e3:.1f}',
                f'{run["percent_together"]:.2f}',
                f'{run["percent"]["finite loss and gradients"]:.2f}',
            ]
            for run in runs
        ],
    )


def coverage(file: str) -> Table:
    """Which of timm's networks work, of the CSV file of timm_coverage.py."""
    with open(file, newline='') as lines:
        return coverage_table(list(csv.DictReader(lines)))


def coverage_table(rows: Sequence[dict]) -> Table:
    """The same, of rows with the columns of that file."""
    return Table(list(COVERAGE.values()), [[row[field] for field in COVERAGE] for row in rows])
