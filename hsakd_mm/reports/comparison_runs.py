"""Reads the finished runs of a comparison, and finds those whose figures do not fit together.

A run's AP comes from its own metric (``report.json``), everything about single detections from its record
(``detections.json``). Only runs whose AP agrees with their record, and that learnt from the baseline's annotations and
were measured on its images and boxes, are compared with it.
"""

import ast
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.average_precision import Matches, summarise
from hsakd_mm.evaluation.detection_records import FILE, read_record, truth_sha256

from .curves import ROUNDING
from .metrics import METRICS
from .page import escaped


@dataclass
class FinishedRun:
    """A detector that has been trained and measured.

    Args:
        name (str): The row of the table that it belongs to.
        seed (int): Of the detector's training.
        folder (str): Its work directory, with ``report.json`` and, for the whole report, ``detections.json`` and
            mmengine's logs.
    """

    name: str
    seed: int
    folder: str


@dataclass
class FailedRun:
    """A run that ended in an error.

    Args:
        name (str): The row of the table that it belongs to.
        seed (int): Of the detector's training.
        reason (str): A sentence for the report, in Markdown.
    """

    name: str
    seed: int
    reason: str


@dataclass
class Records:
    """What the records of the runs say.

    Args:
        matches (dict[str, list[Matches]]): Of each name whose runs all have a record and fit together.
        misfits (dict[str, str]): Of each name that is not compared the reason, a sentence in Markdown.
        remarks (list[str]): What else there is to know, in Markdown.
        classes (list[str]): Of the first record; empty without one.
        images (int): Of the first record; 0 without one.
    """

    matches: dict = field(default_factory=dict)
    misfits: dict = field(default_factory=dict)
    remarks: list = field(default_factory=list)
    classes: list = field(default_factory=list)
    images: int = 0


def read_runs(runs: Sequence[FinishedRun]) -> dict[str, list[dict]]:
    """The rows of the runs' reports, by name.

    Raises:
        UserError: There are no runs, or one has no report.
    """
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
                f'{path} should hold the one row of a finished run, and cannot be read ({error}): run that '
                f'transfer again.'
            ) from error
        grouped.setdefault(run.name, []).append(dict(row, name=run.name, seed=run.seed, folder=run.folder))
    return grouped


def read_records(grouped: dict[str, list[dict]], baseline: str) -> Records:
    """Read the record of each run, and check it against the run's figures and the baseline's images.

    Figures that a run's own metric did not give are computed from its record and added to its row.

    Args:
        grouped (dict[str, list[dict]]): As :func:`read_runs` returns it; rows are completed in place.
        baseline (str): The name that the others are compared with.
    """
    made = Records()
    found: dict = {}
    truths: dict = {}
    absent, computed, nothing = [], [], []
    for name, rows in grouped.items():
        for row in rows:
            path = os.path.join(row['folder'], FILE)
            if not os.path.isfile(path):
                absent.append(f'{escaped(name)} (seed {row["seed"]})')
                continue
            record = read_record(path)
            matches = Matches(record)
            if not any(matches.objects()):
                row.update(dict.fromkeys(METRICS))  # VOCMetric says 0
                nothing.append(f'{escaped(name)} (seed {row["seed"]})')
                continue
            found.setdefault(name, []).append(matches)
            truths.setdefault(name, []).append(truth_sha256(record))
            if reason := _disagreement(row, matches):
                made.misfits.setdefault(name, reason)
                continue
            if row.get('AP') is not None:
                row.update(matches.figures())  # without the rounding of mmdet's log
            if row.get('AP') is None or 'AP_S' not in row:
                new = {key: value for key, value in summarise(record).items() if row.get(key) is None}
                row.update(new)
                computed += [key for key, value in new.items() if value is not None]
    whole = {name: seeds for name, seeds in found.items() if len(seeds) == len(grouped[name])}
    if found:
        first = (whole.get(baseline) or next(iter(found.values())))[0]
        made.classes, made.images = first.classes, len(first.images)
    for name, reason in [
        *_measured_otherwise(whole, truths, baseline).items(),
        *_of_other_annotations(grouped, baseline).items(),
    ]:
        made.misfits.setdefault(name, reason)
    made.matches = {name: seeds for name, seeds in whole.items() if name not in made.misfits}
    made.remarks += made.misfits.values()
    if computed:
        made.remarks.append(
            f"Computed from {FILE}, COCO style, where the run's own metric gives none: "
            f'{", ".join(dict.fromkeys(computed))}. AP50 is that of the run where it has one (11 points in VOC2007).'
        )
    if nothing:
        made.remarks.append(f'No AP: {", ".join(nothing)}. The images that it is measured on hold no object to find.')
    if absent:
        made.remarks.append(
            f'No {FILE}: {", ".join(absent)}. Their names are missing from the intervals, precision and recall, AP '
            f'by class and the drawn images.'
        )
    return made


def _disagreement(row: dict, matches: Matches) -> str:
    """Why a run's own AP is not that of its record; empty where it is."""
    ap = 100 * matches.ap()
    if row.get('AP') is None or abs(row['AP'] - ap) <= ROUNDING:
        return ''
    measured, recorded = _images_of_metric(row), len(matches.images)
    resized = 'the boxes of the ground truth may have been loaded before the images were resized'
    if measured == recorded:
        cause = f'Both are of {recorded} images: {resized}.'
    elif measured is None:
        cause = f'The record is of {recorded} images: the metric may count the boxes of more (`indices`), or {resized}.'
    else:
        cause = (
            f'The metric counts the boxes of {measured} images, and {recorded} images were validated (`indices`?): '
            f'give the metric an `ann_file` of these images alone.'
        )
    of_record = 'none' if np.isnan(ap) else f'{ap:.2f}'
    return (
        f"{escaped(row['name'])} (seed {row['seed']}): AP is {row['AP']:.2f} by the run's own metric and {of_record} "
        f'by its {FILE}. {cause}'
    )


def of_measure(
    matches: dict[str, list[Matches]], grouped: dict[str, list[dict]], measure: str
) -> tuple[dict[str, list[Matches]], list[str]]:
    """The names whose records give the figures of the table, and a remark on the others.

    VOCMetric's AP50 is another than COCO's (its area, or 11 points), and has no interval.
    """
    if measure != 'AP50':
        return matches, []
    same = {
        name: seeds
        for name, seeds in matches.items()
        if all(abs(row['AP50'] - 100 * each.ap(iou=0.5)) <= ROUNDING for row, each in zip(grouped[name], seeds))
    }
    if not (others := [escaped(name) for name in matches if name not in same]):
        return same, []
    return same, [
        f"No interval: {', '.join(others)}. The run's own metric computes AP50 in another way than COCO's, which "
        f'intervals from {FILE} are of.'
    ]


def _images_of_metric(row: dict) -> int | None:
    """The number of images in the annotation file of a run's COCO metric; None where it is not known.

    The config beside the report is parsed, not executed.
    """
    try:
        with open(os.path.join(row['folder'], os.path.basename(row['config']))) as file:
            settings = {
                target.id: node.value
                for node in ast.parse(file.read()).body
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
        evaluator = settings['val_evaluator' if 'val_evaluator' in settings else 'test_evaluator']
        (path,) = {
            ast.literal_eval(node.value)
            for node in ast.walk(evaluator)
            if isinstance(node, ast.keyword) and node.arg == 'ann_file'
        }
        with open(path) as file:
            return len(json.load(file)['images'])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SyntaxError):
        return None


def _of_other_annotations(grouped: dict[str, list[dict]], baseline: str) -> dict[str, str]:
    """The names whose runs learnt from or were measured on other annotations than the baseline's, with the reason.

    They are told by the SHA-256 that a run notes at its start; runs of older versions noted none.
    """
    sums = {
        name: [list(row['annotations'].values()) for row in rows if row.get('annotations')]
        for name, rows in grouped.items()
    }
    known = [name for name in (baseline, *sums) if sums.get(name)]
    reasons = {}
    for name in dict.fromkeys(known):
        if all(each == sums[known[0]][0] for each in sums[name]):
            continue
        who = f'The seeds of {escaped(name)}' if name == known[0] else f'{escaped(name)} and {escaped(known[0])}'
        reasons[name] = (
            f'{who} learnt from different annotations, or were measured on such: the files were changed between the '
            f'runs (their SHA-256 is below). Run those of the older ones again.'
        )
    return reasons


def _measured_otherwise(whole: dict[str, list[Matches]], truths: dict[str, list[str]], baseline: str) -> dict[str, str]:
    """The names that were measured on other images, boxes or classes than the baseline, with the reason."""
    reference = baseline if baseline in whole else next(iter(whole), '')
    reasons = {}
    for name, seeds in whole.items():
        first, ours, other = whole[reference][0], escaped(name), escaped(reference)
        if all((each.images, each.classes) == (first.images, first.classes) for each in seeds):
            if set(truths[name]) != {truths[reference][0]}:
                who = f'The seeds of {ours}' if name == reference else f'{ours} and {other}'
                reasons[name] = (
                    f'{who} were measured on the same images with different boxes to find: the annotations were '
                    f'changed between the runs. Validate all runs on the same data.'
                )
            continue
        counts = dict.fromkeys(len(each.images) for each in seeds)
        images = f'{" and ".join(map(str, counts))} images'
        reasons[name] = f'{ours} was measured on {images}, {other} on {len(first.images)} images.'
        if name == reference:
            reasons[name] = f'The seeds of {ours} were measured on different data: {images}.'
        elif list(counts) == [len(first.images)]:
            reasons[name] = f'{ours} and {other} were measured on different sets of {images}, or on other classes.'
        reasons[name] += ' Validate all runs on the same data.'
    return reasons
