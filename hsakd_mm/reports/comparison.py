"""Detectors beside each other: one report from the folders of finished runs.

A row is a name, that is a way of pretraining; its runs differ by their seed, and may by the
checkpoint that they start from. Figures come from each run's
``report.json``, the courses from its logs, and what needs single detections (the interval of the
difference, precision-recall, AP by class, drawn scenes) from its ``detections.json``. A run without
that file keeps its row, and the report says what is missing.
"""

import json
import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from PIL import Image

from hsakd_mm.engine.scalars import read_curve
from hsakd_mm.engine.user_messages import nearest
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.average_precision import IOUS, Matches, summarise
from hsakd_mm.evaluation.bootstrap import paired_bootstrap
from hsakd_mm.evaluation.detection_records import FILE, of_image, read_record
from hsakd_mm.files import replace

from . import comparison_pictures
from .comparison_text import blocks
from .metrics import METRICS
from .page import to_html, to_markdown
from .pictures import colours_of, draw_grid

SCENES = 4
_ROUNDING = 0.0501  # percent: mmdet logs three decimals of parts of 1
USUAL = ('plain', 'baseline')  # what the others are compared with, where nobody says


@dataclass
class FinishedRun:
    """A detector that has been trained and measured.

    Args:
        name (str): The row of the table that it belongs to.
        seed (int): Of the detector's training.
        folder (str): Its work directory, with ``report.json`` and, for all of the report,
            ``detections.json`` and mmengine's logs.
    """

    name: str
    seed: int
    folder: str


@dataclass
class FailedRun:
    """A detector that could not be trained or measured, and why."""

    name: str
    seed: int
    reason: str


@dataclass
class Comparison:
    """Everything that a report says; of each name, in the table's order.

    ``rows`` have ``name``, ``seeds``, ``pretrainings`` (how many checkpoints they start from, 0 of
    ``random``), ``top1`` of these and each metric as ``dict(mean, sigma, values)`` in percent,
    ``difference`` (None for the baseline) and ``seconds``. ``per_class``: by class, then name.
    """

    title: str
    baseline: str
    measure: str
    rows: list
    runs: list
    per_class: dict = field(default_factory=dict)
    objects: dict = field(default_factory=dict)
    images: int = 0
    curves: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)
    origins: dict = field(default_factory=dict)
    remarks: list = field(default_factory=list)
    pictures: dict = field(default_factory=dict)

    @property
    def best(self) -> str | None:
        """Of the names beside the baseline, that of the highest mean."""
        means = {
            row['name']: row[self.measure]['mean']
            for row in self.rows
            if row['name'] != self.baseline and row.get(self.measure)
        }
        return max(means, key=means.get) if means else None


def write_comparison(
    runs: Sequence[FinishedRun],
    out_dir: str,
    title: str,
    baseline: str | None = None,
    notes: Sequence[str] = (),
    origins: dict | None = None,
    failed: Sequence[FailedRun] = (),
) -> dict:
    """Write ``report.md``, ``.json``, ``.png`` and ``.html``, and the other pictures.

    Args:
        runs (list[FinishedRun]): In the table's order.
        out_dir (str): Made if it is not there.
        title (str): Heading.
        baseline (str, optional): The name that the others are compared with; by default ``plain``
            or ``baseline`` if there is one, else the first.
        notes (Sequence[str]): Sentences below the table, in Markdown.
        origins (dict[str, list[str]]): Of each name, sentences on what it started from.

    Returns:
        dict[str, str]: The files, by ending.

    Raises:
        UserError: There are no runs, one has no report, no run is called ``baseline``, or the
            files cannot be written.
    """
    grouped = _read(runs)
    baseline = _baseline(list(grouped), baseline)
    matches, remarks = _matches(grouped, baseline)
    rows = [row for group in grouped.values() for row in group]
    measure = max(('AP', 'AP50'), key=lambda key: sum(row.get(key) is not None for row in rows))
    made = Comparison(
        title,
        baseline,
        measure,
        [_row(*group) for group in grouped.items()],
        rows,
        notes=list(notes),
        origins=dict(origins or {}),
        remarks=remarks,
    )
    _compare(made, matches)
    of_curves = _curves(made, grouped)
    files = {ending: os.path.join(out_dir, f'report.{ending}') for ending in ('json', 'md', 'png', 'html')}
    _draw(made, matches, grouped, files['png'], of_curves)
    content = asdict(made)
    content['pictures'] = {part: os.path.basename(file) for part, file in made.pictures.items()}
    document = blocks(made)
    _write(files['json'], json.dumps(content, indent=1, default=str) + '\n')
    _write(files['md'], to_markdown(title, document))
    _write(files['html'], to_html(title, document))
    return files


def _read(runs: Sequence[FinishedRun]) -> dict:
    if not runs:
        raise UserError('a comparison needs finished runs, and there are none: train some first.')
    grouped: dict = {}
    for run in runs:
        path = os.path.join(run.folder, 'report.json')
        try:
            with open(path) as file:
                (row,) = json.load(file)['rows']
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f'{path} should hold the one row of a finished run, and cannot be read '
                f'({error}): run that transfer again.'
            ) from error
        grouped.setdefault(run.name, []).append(dict(row, name=run.name, seed=run.seed, folder=run.folder))
    return grouped


def _baseline(names: list, wanted: str | None) -> str:
    if wanted is None:
        return next((name for name in names if name.lower() in USUAL), names[0])
    if wanted not in names:
        raise UserError(
            f'the baseline should be one of the names that are compared '
            f'({", ".join(names)}), and it is {wanted!r}{nearest(wanted, names)}.'
        )
    return wanted


def _matches(grouped: dict, baseline: str) -> tuple:
    """Matches of the names that have detections for every seed and the same images and classes.

    Figures that a run's own metric did not give are taken from its detections.

    Returns:
        tuple[dict[str, list[Matches]], list[str]]: And what there is to say about the others.
    """
    found: dict = {}
    absent, remarks, filled = [], [], []
    for name, rows in grouped.items():
        for row in rows:
            path = os.path.join(row['folder'], FILE)
            if not os.path.isfile(path):
                absent.append(f'{name} (seed {row["seed"]})')
                continue
            record = read_record(path)
            matches = Matches(record)
            found.setdefault(name, []).append(matches)
            if row.get('AP') is None or 'AP_S' not in row:
                for key, value in summarise(record).items():
                    if row.get(key) is None and value is not None:
                        row[key] = value
                        filled.append(key)
            elif abs(row['AP'] - 100 * matches.ap()) > _ROUNDING:
                remarks.append(
                    f"{name} (seed {row['seed']}): AP is {row['AP']:.2f} by the run's own metric "
                    f'and {100 * matches.ap():.2f} by its {FILE}; boxes of the ground truth may '
                    f'have been loaded before the images were resized.'
                )
            else:  # mmdet logs three decimals of parts of 1
                row.update(matches.figures())
    if filled:
        remarks.append(
            f"Computed from {FILE}, COCO style, where the run's own metric gives "
            f"none: {', '.join(dict.fromkeys(filled))}; AP50 is the run's own where it has "
            f'one (11 points in VOC2007).'
        )
    if absent:
        remarks.append(
            f'No {FILE}: {", ".join(absent)}. Their names are missing from the '
            f'intervals, precision-recall, AP by class and drawn scenes.'
        )
    whole = {name: seeds for name, seeds in found.items() if len(seeds) == len(grouped[name])}
    first = whole.get(baseline) or next(iter(whole.values()), None)
    other = [
        name
        for name, seeds in whole.items()
        if any((matches.images, matches.classes) != (first[0].images, first[0].classes) for matches in seeds)
    ]
    if other:
        remarks.append(
            f'Measured on other images or classes than {baseline}, and so not compared in detail: {", ".join(other)}.'
        )
    return {name: seeds for name, seeds in whole.items() if name not in other}, remarks


def _row(name: str, runs: list) -> dict:
    pretrainings = {run['checkpoint_sha256']: run.get('top1') for run in runs if run.get('checkpoint_sha256')}
    row: dict = dict(
        name=name,
        seeds=[run['seed'] for run in runs],
        difference=None,
        pretrainings=len(pretrainings),
        top1=_spread(pretrainings.values()),
    )
    for key in METRICS:
        row[key] = _spread(run.get(key) for run in runs)
    seconds = [run['seconds'] for run in runs if run.get('seconds') is not None]
    row['seconds'] = statistics.mean(seconds) if seconds else None
    return row


def _spread(values: Iterable[float | None]) -> dict | None:
    known = [value for value in values if value is not None]
    return (
        dict(mean=statistics.mean(known), values=known, sigma=statistics.stdev(known) if len(known) > 1 else None)
        if known
        else None
    )


def _compare(made: Comparison, matches: dict) -> None:
    """Differences to the baseline and AP by class."""
    intervals: dict = {}
    if made.baseline in matches and len(matches) > 1:
        intervals = paired_bootstrap(matches, made.baseline, iou=0.5 if made.measure == 'AP50' else None)
    (reference,) = (row[made.measure] for row in made.rows if row['name'] == made.baseline)
    for row in made.rows:
        if row['name'] in intervals:
            row['difference'] = asdict(intervals[row['name']])
        elif row['name'] != made.baseline and row[made.measure] and reference:
            row['difference'] = dict(difference=row[made.measure]['mean'] - reference['mean'], low=None, high=None)
    if not matches:
        return
    first = next(iter(matches.values()))[0]
    values = {
        name: 100 * np.mean([each.per_class().mean(1) for each in seeds], axis=0) for name, seeds in matches.items()
    }
    made.images = len(first.images)
    made.objects = dict(zip(first.classes, first.objects()))
    made.per_class = {
        label: {name: None if np.isnan(by[number]) else float(by[number]) for name, by in values.items()}
        for number, label in enumerate(first.classes)
    }


def _curves(made: Comparison, grouped: dict) -> str:
    """Fill in the courses; returns which metric they are of: the table's, or AP50 for VOC's."""
    for metric in dict.fromkeys((made.measure, 'AP50')):
        for name, rows in grouped.items():
            curves = [
                dict(curve) for row in rows for key in METRICS[metric] if (curve := read_curve(row['folder'], key))
            ]
            epochs = (
                [epoch for epoch in curves[0] if all(epoch in curve for curve in curves)]
                if len(curves) == len(rows)
                else []
            )
            points = [(epoch, [100 * curve[epoch] for curve in curves]) for epoch in epochs]
            ends = [row.get(metric) for row in rows]
            if points and None not in ends and np.allclose(points[-1][1], ends, 0, _ROUNDING):
                points[-1] = (points[-1][0], ends)  # the table's, which are not rounded
            made.curves[name] = [(epoch, statistics.mean(values), min(values), max(values)) for epoch, values in points]
        if any(made.curves.values()):
            return metric
    return made.measure


def _draw(made: Comparison, matches: dict, grouped: dict, file: str, of_curves: str) -> None:
    def beside(name: str) -> str:
        return os.path.join(os.path.dirname(file), name if '.' in name else f'{name}.png')

    comparison_pictures.draw_overview(made.rows, made.curves, made.measure, of_curves, file, made.title, made.baseline)
    made.pictures['overview'] = file
    if any(made.curves.values()):
        made.pictures['curves'] = beside('learning_curves')
        comparison_pictures.draw_curves(made.curves, of_curves, made.pictures['curves'], 'Learning curves')
    if matches:
        names = [row['name'] for row in made.rows]
        precision = {
            name: np.mean([np.nanmean(each.precision(), axis=0) for each in seeds], axis=0)
            for name, seeds in matches.items()
            if np.isfinite(seeds[0].ap())
        }
        if precision:
            made.pictures['precision'] = beside('precision_recall')
            comparison_pictures.draw_precision_recall(
                {iou: {name: by[np.isclose(IOUS, iou)][0] for name, by in precision.items()} for iou in (0.5, 0.75)},
                names,
                made.pictures['precision'],
                'Precision and recall',
            )
        made.pictures['classes'] = beside('classes')
        comparison_pictures.draw_classes(made.per_class, made.objects, names, made.pictures['classes'], 'AP by class')
    _draw_scenes(made, matches, grouped, beside('detections.jpg'))


def _draw_scenes(made: Comparison, matches: dict, grouped: dict, file: str) -> None:
    """The baseline's and the best other one's detections, on images spread over the test set."""
    pair = [name for name in (made.baseline, made.best) if name in matches]
    if len(pair) < 2:
        return
    records = [read_record(os.path.join(grouped[name][0]['folder'], FILE)) for name in pair]
    used = {box['image'] for box in records[0]['truth'] if not box['ignore']}
    images = [image for image in records[0]['images'] if image['id'] in used]
    chosen = [images[int(number)] for number in np.linspace(0, len(images) - 1, min(SCENES, len(images)))]
    try:
        pixels = [np.asarray(Image.open(image['file']).convert('RGB')) for image in chosen]
    except OSError as error:
        made.remarks.append(
            f'No scenes are drawn: an image of the test set cannot be read from '
            f'{os.getcwd()} ({error.strerror or error}).'
        )
        return
    if not pixels:
        return
    names = colours_of(row['name'] for row in made.rows)
    made.pictures['detections'] = file
    draw_grid(
        pixels,
        [of_image(records[0], image['id'])[0] for image in chosen],
        {name: [of_image(record, image['id'])[1] for image in chosen] for name, record in zip(pair, records)},
        file,
        records[0]['classes'],
        colours=names,
        title=f'The same test images, seed {grouped[pair[0]][0]["seed"]}'
        + ('' if grouped[pair[0]][0]['seed'] == grouped[pair[1]][0]['seed'] else f' and {grouped[pair[1]][0]["seed"]}'),
    )


def _write(path: str, text: str) -> None:
    replace(path, lambda file: file.write(text.encode()))
