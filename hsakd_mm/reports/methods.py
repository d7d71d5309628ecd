"""Comparison of methods: the report of a bench, and its table for the terminal."""

import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from . import method_pictures, terminal
from .origins import ABSENT, origin_items
from .page import Heading, Items, Picture, Table, Text, escaped, write_page
from .setting import setting
from .weak_teachers import weak_teachers

ACCURACY = 'accuracy/'  # top-1 of one network, or of the first of several
HEADS = (
    *('Method', 'Top-1 (%)', 'Seeds', 'Best epoch (%)', 'Parameters', 'Trained parameters', 'Epochs', 'Step time (×)'),
    *('Cost (×)', 'TMAC', 'Minutes', 'Teacher (×)', "Teacher's minutes"),
)
NOTES = (
    'Top-1: mean ± standard deviation over seeds, {top1_of}. Best epoch: mean over seeds of the best epoch of each '
    'run, which was chosen on the images that it is measured on. Parameters: of the backbone that is exported. '
    'Trained parameters: with branches and second networks. Step time: of a training step per image, relative '
    "to {baseline}, including the teacher's forward pass; it is that of the fastest tenth of all logged steps, in the "
    'fastest seed, so that other load on the machine hardly counts. TMAC: multiply-adds of the whole training in 10¹², '
    'counted in a step: views, branches, backward and the forward of the teacher. Cost: the same, relative to '
    '{baseline}. Minutes: mean duration of a training, including its validation and such load. Teacher: multiply-adds '
    '(relative to the same) and minutes of the training of its teachers, as far as they were trained here. They are in '
    'none of the other columns, and are spent once for all seeds that share a teacher.',
    'Runs with the same seed have the same data order, augmentation and, over as many epochs, schedule, and the '
    'student starts from the same weights wherever its layers have the same shape.',
)


OVERVIEW, FRONT = 'report.png', 'front.png'


@dataclass
class Row:
    """A line of the table: the runs of one name.

    Args:
        name (str): The name of the runs.
        top1 (float): Mean top-1 over seeds, in percent.
        sigma (float | None): Standard deviation over seeds (n - 1); None for a single seed.
        best (float): Mean of the best epoch's top-1, which was chosen on the data that it is measured on.
        seeds (int): Number of seeds.
        parameters (int): Of the backbone that is exported.
        trained_parameters (int): Of everything that is trained: with branches and second networks.
        cost (float | None): Seconds of a step per training image, relative to the baseline's.
        seconds_per_image (float): Of a training step, in the seed where it was fastest.
        wall_seconds (float): Mean duration of a run, including validation.
        macs (float | None): Multiply-adds of the training; None where they were not counted.
        teachers_macs (float | None): Those that trained its teacher.
        relative_macs, relative_teachers_macs (float | None): Both, relative to the ``macs`` of the baseline.
        seconds (float | None): Mean duration of the training, with that of the run whose weights it goes on from.
        teachers_seconds (float | None): Mean duration of the training of its teachers.
        epochs (int | None): Of a run.
        curve_of (str | None): The method whose curve of accuracy against cost this is a point of.
        metric (str): What ``top1`` and ``best`` are where the runs are judged by something else than accuracy.
    """

    name: str
    top1: float
    sigma: float | None
    best: float
    seeds: int
    parameters: int
    trained_parameters: int
    cost: float | None
    seconds_per_image: float
    wall_seconds: float
    macs: float | None = None
    teachers_macs: float | None = None
    relative_macs: float | None = None
    relative_teachers_macs: float | None = None
    seconds: float | None = None
    teachers_seconds: float | None = None
    epochs: int | None = None
    curve_of: str | None = None
    metric: str = 'accuracy/top1'


def write_method_report(
    results: Sequence[dict],
    out_dir: str,
    title: str,
    baseline: str,
    notes: Sequence[str] = (),
    bench: str = '',
    data: Sequence[dict] = (),
    top1_of: str = 'last epoch, on validation images',
) -> dict:
    """Write ``report.json``, ``.md``, ``.html`` and, where there is a row, ``.png``.

    Args:
        results (list[dict]): One per finished run: ``name``, ``seed``, ``row`` (whether it belongs to the table),
            ``top1``, ``best_top1`` and ``curve`` ``[(epoch, top1), ...]`` in percent, ``epochs``, ``parameters``,
            ``trained_parameters``, ``seconds_per_image``, ``wall_seconds``, perhaps ``macs``, ``seconds``,
            ``teachers_macs``, ``teachers_seconds`` and ``taught_by`` (:func:`.weak_teachers.weak_teachers`), and where
            it came from (:func:`.origins.origin_items`).
        out_dir (str): Created if absent.
        title (str): Heading.
        baseline (str): The name that costs are relative to.
        notes (Sequence[str]): Sentences below the table, in Markdown.
        bench (str): The bench's file.
        data (Sequence[dict]): Data sets: ``name`` (in a manifest ``set``, or its ``data_root``) and the keys of
            :data:`.setting.KEYS`, as far as they are known.
        top1_of (str): Which top-1 the results hold.

    Returns:
        dict[str, str]: The files, by ending.

    Raises:
        UserError: They cannot be written.
    """
    rows = summarise(results, baseline)
    notes = [*notes, *(note.format(baseline=escaped(baseline), top1_of=top1_of) for note in NOTES)]
    warnings = weak_teachers(results)
    content = dict(
        title=title,
        bench=bench,
        baseline=baseline,
        rows=[asdict(row) for row in rows],
        notes=notes,
        warnings=warnings,
        data=list(data),
        runs=list(results),
    )
    if measured := _measured(results):
        method_pictures.draw(measured, title, os.path.join(out_dir, OVERVIEW))
        if front := _front(rows):
            method_pictures.draw_front(front, title, os.path.join(out_dir, FRONT))
    return write_page(out_dir, title, blocks(content, out_dir), content)


def blocks(content: dict, out_dir: str) -> list:
    """The report, from what its JSON file holds; its pictures are in ``out_dir``."""
    results, pictures = content['runs'], []
    epochs = [str(run['epochs']) for runs in by_name(results).values() for run in runs]
    line = setting(
        [dict(part, dataset=part.get('name', part.get('set', part.get('data_root')))) for part in content['data']],
        epochs=' / '.join(dict.fromkeys(epochs)),
    )
    if measured := _measured(results):
        also = ', and the learning curves' if method_pictures.curves_of(measured) else ''
        pictures.append(Picture(os.path.join(out_dir, OVERVIEW), f'Top-1 of every run{also}.'))
        if _front(rows_of(content)):
            pictures.append(Picture(os.path.join(out_dir, FRONT), 'Top-1 by what the training costs.'))
    return [
        *([Text(line)] if line else []),
        *pictures,
        table(rows_of(content)),
        *(Text(f'**{escaped(warning)}**') for warning in content.get('warnings', ())),
        *map(Text, content['notes']),
        Heading('Where the numbers come from'),
        Items(origin_items(results)),
    ]


def rows_of(content: dict) -> list[Row]:
    """The rows of a report's JSON, from its runs: one of an older version lacks some of today's figures in its rows."""
    return summarise(content['runs'], content['baseline'])


def _measured(results: Sequence[dict]) -> dict:
    """The results of each name that has an accuracy, which the picture shows."""
    return {name: runs for name, runs in by_name(results).items() if _metric(runs).startswith(ACCURACY)}


def _front(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.curve_of and row.macs]


def print_method_report(results: Sequence[dict], baseline: str, missing: int, total: int, files: dict) -> None:
    """Print the table, what to be warned of, how many runs are not done, and where the files are.

    Args:
        results (list[dict]): As for :func:`write_method_report`.
        baseline (str): As above.
        missing (int): Runs that are not done.
        total (int): All runs.
        files (dict[str, str]): What :func:`write_method_report` returned.
    """
    print()
    terminal.print_table(table(summarise(results, baseline)))
    for warning in weak_teachers(results):
        print(f'\n{warning}')
    if missing:
        print(f'\n{missing} of {total} runs are not done.')
    print(f'\nReport: {", ".join(files.values())}', flush=True)


def summarise(results: Sequence[dict], baseline: str) -> list[Row]:
    """The rows of the table, in the order of the runs."""
    grouped = by_name(results)
    cost_of = {name: min(result['seconds_per_image'] for result in of_name) for name, of_name in grouped.items()}
    rows = [_row(name, of_name, cost_of.get(baseline), cost_of[name]) for name, of_name in grouped.items()]
    if reference := next((row.macs for row in rows if row.name == baseline), None):
        for row in rows:
            row.relative_macs = None if row.macs is None else row.macs / reference
            row.relative_teachers_macs = None if row.teachers_macs is None else row.teachers_macs / reference
    return rows


def by_name(results: Sequence[dict]) -> dict[str, list[dict]]:
    """The results of each name that belongs to the table and the picture."""
    grouped: dict = {}
    for result in results:
        if result['row']:
            grouped.setdefault(result['name'], []).append(result)
    return grouped


def _row(name: str, results: list, baseline: float | None, cost: float) -> Row:
    top1 = [result['top1'] for result in results]
    return Row(
        name=name,
        top1=statistics.mean(top1),
        sigma=statistics.stdev(top1) if len(top1) > 1 else None,
        best=statistics.mean(result['best_top1'] for result in results),
        seeds=len(results),
        parameters=results[0]['parameters'],
        trained_parameters=results[0]['trained_parameters'],
        cost=cost / baseline if baseline else None,
        seconds_per_image=cost,
        wall_seconds=statistics.mean(result['wall_seconds'] for result in results),
        macs=_known(results, 'macs'),
        teachers_macs=_known(results, 'teachers_macs'),
        seconds=_mean(result.get('seconds', result['wall_seconds']) for result in results),
        teachers_seconds=_mean(result.get('teachers_seconds') for result in results),
        epochs=results[0]['epochs'],
        curve_of=results[0].get('curve_of'),
        metric=_metric(results),
    )


def table(rows: Sequence[Row]) -> Table:
    """The table of a bench."""
    return Table(
        HEADS,
        [
            [
                row.name,
                _named(row, f'{row.top1:.2f}' + ('' if row.sigma is None else f' ± {row.sigma:.2f}')),
                str(row.seeds),
                _named(row, f'{row.best:.2f}'),
                f'{row.parameters:,}',
                f'{row.trained_parameters:,}',
                ABSENT if row.epochs is None else str(row.epochs),
                _number(row.cost, digits=2),
                _number(row.relative_macs, digits=2),
                _number(row.macs, 1e12),
                _number(row.seconds, 60),
                _number(row.relative_teachers_macs, digits=2),
                _number(row.teachers_seconds, 60),
            ]
            for row in rows
        ],
    )


def _named(row: Row, value: str) -> str:
    """An agreement with a teacher is no accuracy: it has its own name in the cell."""
    return value if row.metric.startswith(ACCURACY) else f'{row.metric} {value}'


def _metric(results: list) -> str:
    return results[0].get('metric', f'{ACCURACY}top1')


def _known(results: list, key: str) -> float | None:
    """Of the first seed for which it was counted: it is the same for all."""
    return next((result[key] for result in results if result.get(key) is not None), None)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None


def _number(value: float | None, unit: float = 1, digits: int = 1) -> str:
    return ABSENT if value is None else f'{value / unit:,.{digits}f}'
