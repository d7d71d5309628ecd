"""The table of a bench: for the terminal, as Markdown, as JSON."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict

from hsakd_mm.files import replace
from hsakd_mm.reports.method_pictures import draw

from .bench import Bench
from .results import Row, by_name, summarise

HEADS = ('method', 'top-1 %', 'seeds', 'best epoch %', 'parameters', 'trained', 's / image', 'minutes')
NOTES = (
    'top-1 %: mean ± standard deviation over seeds of the last epoch, on validation images. '
    "best epoch: mean over seeds of each run's best, which is chosen by the images that it is "
    'judged on. parameters: the backbone that is handed on; trained: with branches and second '
    'networks. s / image: duration of a training step by its images, relative to {baseline}, a '
    "teacher's forward included and its training not; of all logged steps the fastest tenth, in "
    'the fastest seed, so that other load on the machine hardly counts. minutes: mean duration of '
    'a run, its validation and such load included.',
    'Runs with one seed have the same data order, augmentation and schedule, and the student starts '
    'from the same weights wherever its layers have the same shape.',
)


def write_report(bench: Bench, results: Sequence[dict]) -> dict:
    """Write ``report.json``, ``report.md`` and ``report.png`` into the bench's folder.

    Returns:
        dict[str, str]: The files, by ending.

    Raises:
        UserError: They cannot be written.
    """
    files = {ending: os.path.join(bench.work_dir, f'report.{ending}') for ending in ('json', 'md', 'png')}
    rows = summarise(results, bench.baseline)
    content = dict(
        title=bench.title,
        bench=bench.file,
        baseline=bench.baseline,
        rows=[asdict(row) for row in rows],
        notes=_notes(bench),
        data=_data(bench),
        runs=list(results),
    )
    replace(files['json'], lambda file: file.write(json.dumps(content, indent=1).encode() + b'\n'))
    replace(files['md'], lambda file: file.write(_markdown(bench, rows, results).encode()))
    if rows:
        draw(by_name(results), bench.title, files['png'])
    return files


def print_report(bench: Bench, results: Sequence[dict], files: dict) -> None:
    """The table for a terminal, and where the rest is."""
    table = [HEADS, *map(_cells, summarise(results, bench.baseline))]
    widths = [max(map(len, column)) for column in zip(*table)]
    table.insert(1, tuple('─' * width for width in widths))
    print()
    for first, *others in table:
        print('  '.join([first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:]))]))
    missing = len(bench.runs) - len(results)
    if missing:
        print(f'\n{missing} of {len(bench.runs)} runs are not done.')
    print(f'\nReport: {files["md"]}, {files["json"]}, {files["png"]}', flush=True)


def _markdown(bench: Bench, rows: Sequence[Row], results: Sequence[dict]) -> str:
    table = [HEADS, ('---', *['---:'] * (len(HEADS) - 1)), *map(_cells, rows)]
    lines = [
        f'# {bench.title}',
        '',
        *(f'| {" | ".join(cells)} |' for cells in table),
        '',
        *(f'{note}\n' for note in _notes(bench)),
        '![top-1 of every run, and its course](report.png)',
        '',
        '## Where the numbers come from',
        '',
    ]
    origins: dict = {}
    for result in results:
        hardware = result['hardware']
        machine = (
            f'{len(hardware["gpu"])} × {hardware["gpu"][0]}'
            if hardware['gpu']
            else f'{hardware["cores"]} cores of {hardware["cpu"]}'
        )
        changed = ' with changes' if result['dirty'] else ''
        origin = (
            f'`{result["command"]}`, commit `{result["commit"]}`{changed}, torch '
            f'{result["torch"]}, {machine}, threads a run: {result.get("threads", "?")}'
        )
        origins.setdefault(origin, []).append(f'{result["name"]} (seed {result["seed"]})')
    lines += [f'- {", ".join(runs)}: {origin}' for origin, runs in origins.items()]
    return '\n'.join(lines) + '\n'


def _cells(row: Row) -> tuple:
    sigma = '' if row.sigma is None else f' ± {row.sigma:.2f}'
    cost = '–' if row.cost is None else f'{row.cost:.2f} ×'
    return (
        row.name,
        f'{row.top1:.2f}{sigma}',
        str(row.seeds),
        f'{row.best:.2f}',
        f'{row.parameters:,}',
        f'{row.trained_parameters:,}',
        cost,
        f'{row.wall_seconds / 60:.1f}',
    )


def _notes(bench: Bench) -> list:
    return [*bench.notes, *(note.format(baseline=bench.baseline) for note in NOTES)]


def _data(bench: Bench) -> list:
    """The manifests of the data folders that have one; they hold a hash of the content."""
    roots = dict.fromkeys(run.cfg.train_dataloader.dataset.get('data_root', '') for run in bench.runs)
    found = []
    for root in roots:
        path = os.path.join(root, 'manifest.json')
        if os.path.isfile(path):
            with open(path) as file:
                found.append(dict(json.load(file), data_root=root))
    return found
