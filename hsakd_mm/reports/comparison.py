"""Comparison of detectors: one report from the folders of finished runs.

A row is a name, that is a way of pretraining; its runs differ in their seed, and perhaps in the checkpoint that they
start from. Figures come from each run's ``report.json``, learning curves from its logs, and what needs single
detections (the interval of the difference, precision and recall, AP by class, drawn images) from its
``detections.json``. A run without that file keeps its row, and the report says what is missing.
"""

import json
import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from hsakd_mm.evaluation.bootstrap import paired_bootstrap
from hsakd_mm.evaluation.seed_test import compare_seeds

from .comparison_costs import mean_cost, relate
from .comparison_runs import FailedRun, FinishedRun, Records, of_measure, read_records, read_runs
from .comparison_scenes import draw_all
from .comparison_text import blocks, table
from .curves import read_curves
from .metrics import METRICS
from .page import escaped, write_page
from .setting import is_voc, setting
from .terminal import print_table

USUAL = ('plain', 'baseline')  # the baseline where none is named


@dataclass
class Comparison:
    """Everything that a report says, names in the table's order.

    Args:
        title (str): Heading.
        baseline (str): The name that the others are compared with.
        measure (str): ``AP``, or ``AP50`` where the runs' metric gives no AP.
        rows (list[dict]): ``name``, ``seeds``, ``pretrainings`` (number of checkpoints they start from, 0 for
            ``random``), ``top1`` of these and each metric as ``dict(mean, sigma, values)`` in percent,
            ``difference`` (:class:`.bootstrap.Interval`; None for the baseline and where none can be shown),
            ``seed_test`` (:class:`.seed_test.SeedTest`; None as well where one of both has one seed), ``seconds``
            and ``cost`` of the pretraining (:mod:`.comparison_costs`).
        runs (list[dict]): The runs' own rows.
        setting (str): Data, networks and epochs in one line; may be empty.
        voc (bool): Whether the data is Pascal VOC.
        misfits (dict[str, str]): Of each name whose figures do not fit together with the others the reason.
        failed (list[FailedRun]): Runs without figures.
        per_class (dict): AP in percent by class, then by name.
        objects (dict[str, int]): Objects to find of each class.
        images (int): Test images.
        curves (dict): For each name ``[(epoch, mean, lowest, highest), ...]``.
        notes, remarks (list[str]): Sentences in Markdown.
        origins (dict[str, list[str]]): Of each name, sentences on what it started from.
        pictures (dict[str, str]): Files by part of the report.
        bench (str): The bench's file, where a bench made it.
        pairs (list[dict]): Differences besides those to the baseline: ``name``, ``to``, and ``difference`` and
            ``seed_test`` as of a row.
    """

    title: str
    baseline: str
    measure: str
    rows: list
    runs: list
    setting: str = ''
    voc: bool = False
    misfits: dict = field(default_factory=dict)
    failed: list = field(default_factory=list)
    per_class: dict = field(default_factory=dict)
    objects: dict = field(default_factory=dict)
    images: int = 0
    curves: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)
    origins: dict = field(default_factory=dict)
    remarks: list = field(default_factory=list)
    pictures: dict = field(default_factory=dict)
    bench: str = ''
    pairs: list = field(default_factory=list)

    @property
    def others(self) -> list[str]:
        """The names that can be compared with the baseline."""
        return [
            row['name']
            for row in self.rows
            if row['name'] != self.baseline and row[self.measure] and row['name'] not in self.misfits
        ]

    @property
    def best(self) -> str | None:
        """Of :attr:`others` the one with the highest mean."""
        means = {row['name']: row[self.measure]['mean'] for row in self.rows if row['name'] in self.others}
        return max(means, key=lambda name: means[name]) if means else None


def write_comparison(
    runs: Sequence[FinishedRun],
    out_dir: str,
    title: str,
    baseline: str | None = None,
    notes: Sequence[str] = (),
    origins: dict | None = None,
    failed: Sequence[FailedRun] = (),
    bench: str = '',
    pairs: Sequence[Sequence[str]] = (),
) -> dict:
    """Write ``report.md``, ``.json``, ``.png`` and ``.html``, and the other pictures.

    Args:
        runs (list[FinishedRun]): In the table's order.
        out_dir (str): Created if absent.
        title (str): Heading.
        baseline (str, optional): The name that the others are compared with. Default: ``plain`` or ``baseline`` if
            there is one, else the first; so too, with a remark, where the one that is named has no finished run.
        notes (Sequence[str]): Sentences below the table, in Markdown.
        origins (dict[str, list[str]]): Of each name, sentences on what it started from.
        failed (Sequence[FailedRun]): Listed with their reasons. A name without a finished run is a row without
            figures.
        bench (str): The bench's file, where a bench calls it.
        pairs (list[(str, str)]): Names whose difference is told too, whatever the baseline. One that is not among the
            finished runs is left out.

    Returns:
        dict[str, str]: The files, by ending.

    Raises:
        UserError: There are no finished runs, one has no report, or the files cannot be written.
    """
    grouped = read_runs(runs)
    without: dict = {run.name: [] for run in failed if run.name not in grouped}
    names, remarks = list(grouped), []
    if baseline not in names:
        wanted, baseline = baseline, next((name for name in names if name.lower() in USUAL), names[0])
        if wanted is not None:
            remarks = [f'No run of the baseline, {escaped(wanted)}, is finished: {escaped(baseline)} takes its place.']
    records = read_records(grouped, baseline)
    rows = [row for group in grouped.values() for row in group]
    measure = max(('AP', 'AP50'), key=lambda key: sum(row.get(key) is not None for row in rows))
    of_curves, curves = read_curves(grouped, measure)
    compared, without_interval = of_measure(records.matches, grouped, measure)
    made = Comparison(
        title,
        baseline,
        measure,
        [_row(*group) for group in [*grouped.items(), *without.items()]],
        rows,
        setting=_setting(rows, records, curves),
        voc=is_voc(records.classes, [row.get('dataset') for row in rows]),
        misfits=records.misfits,
        failed=list(failed),
        images=records.images,
        curves=curves,
        notes=list(notes),
        origins=dict(origins or {}),
        bench=bench,
        remarks=[
            *remarks,
            *(f'{escaped(row["name"])} (seed {row["seed"]}): {row["remark"]}' for row in rows if row.get('remark')),
            *records.remarks,
            *without_interval,
        ],
    )
    _compare(made, compared)
    _by_class(made, records.matches)
    known = {row['name'] for row in made.rows if row[measure]} - made.misfits.keys()
    made.pairs = [_pair(made, compared, *pair) for pair in pairs if set(pair) <= known]
    relate(made.rows, baseline)
    draw_all(made, records.matches, grouped, out_dir, of_curves)
    content = asdict(made)
    content['pictures'] = {part: os.path.basename(file) for part, file in made.pictures.items()}
    return write_page(out_dir, title, blocks(made), content)


def print_comparison(files: dict) -> None:
    """Print the table of the report that :func:`write_comparison` wrote to ``files``."""
    with open(files['json']) as file:
        print_table(table(Comparison(**json.load(file))))


def _setting(rows: list, records: Records, curves: dict) -> str:
    epochs = [points[-1][0] for points in curves.values() if points]
    return setting(
        rows, val_images=records.images or None, classes=len(records.classes) or None, epochs=max(epochs, default=None)
    )


def _row(name: str, runs: list) -> dict:
    pretrainings = {run['checkpoint_sha256']: run.get('top1') for run in runs if run.get('checkpoint_sha256')}
    row: dict = dict(
        name=name,
        seeds=[run['seed'] for run in runs],
        difference=None,
        seed_test=None,
        pretrainings=len(pretrainings),
        top1=_spread(pretrainings.values()),
    )
    for key in METRICS:
        row[key] = _spread(run.get(key) for run in runs)
    seconds = [run['seconds'] for run in runs if run.get('seconds') is not None]
    row['seconds'] = statistics.mean(seconds) if seconds else None
    row['cost'] = mean_cost(runs)
    return row


def _spread(values: Iterable[float | None]) -> dict | None:
    known = [value for value in values if value is not None]
    return (
        dict(mean=statistics.mean(known), values=known, sigma=statistics.stdev(known) if len(known) > 1 else None)
        if known
        else None
    )


def _compare(made: Comparison, matches: dict) -> None:
    """Fill in the differences to the baseline."""
    found = _differences(made, matches, made.baseline, made.others)
    for row in made.rows:
        row.update(found.get(row['name'], {}))


def _by_class(made: Comparison, matches: dict) -> None:
    """Fill in AP by class."""
    if not matches:
        return
    first = next(iter(matches.values()))[0]
    values = {
        name: 100 * np.mean([each.per_class().mean(1) for each in seeds], axis=0) for name, seeds in matches.items()
    }
    made.objects = dict(zip(first.classes, first.objects()))
    made.per_class = {
        label: {name: None if np.isnan(by[number]) else float(by[number]) for name, by in values.items()}
        for number, label in enumerate(first.classes)
    }


def _pair(made: Comparison, matches: dict, name: str, to: str) -> dict:
    return dict(name=name, to=to, **_differences(made, matches, to, [name])[name])


def _differences(made: Comparison, matches: dict, baseline: str, others: Sequence[str]) -> dict[str, dict]:
    """``difference`` and ``seed_test`` of each of ``others`` to ``baseline``; of none if its figures do not fit."""
    means = {row['name']: row[made.measure] for row in made.rows}
    if baseline in made.misfits or not means[baseline]:
        return {}
    seeds = {row['name']: row['seeds'] for row in made.rows}
    known = {name: matches[name] for name in (baseline, *others) if name in matches}
    iou = 0.5 if made.measure == 'AP50' else None
    paired = paired_bootstrap(known, baseline, iou=iou, seeds=seeds) if baseline in known and len(known) > 1 else {}
    by_seed: dict = {name: {} for name in means}
    for run in made.runs:
        if run.get(made.measure) is not None:
            by_seed[run['name']][run['seed']] = run[made.measure]
    found = {}
    for name in others:
        without = dict(difference=means[name]['mean'] - means[baseline]['mean'], low=None, high=None)
        test = compare_seeds(by_seed[name], by_seed[baseline])
        found[name] = dict(
            difference=asdict(paired[name]) if name in paired else without, seed_test=asdict(test) if test else None
        )
    return found
