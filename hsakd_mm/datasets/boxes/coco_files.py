"""Output of the dataset converters: a table of counts, and all json files or none."""

import argparse
import json
import os
from collections import Counter

from hsakd_mm.errors import UserError
from hsakd_mm.files import write_atomically

from .checks import CLIP, reject_bad


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all converters share."""
    parser.add_argument(
        '--skip-bad', action='store_true', help='drop images and boxes that have a problem, and count them'
    )
    parser.add_argument(
        '--clip',
        type=float,
        default=CLIP,
        metavar='FRACTION',
        help='clip boxes that reach outside the image by up to this fraction of its width or height (or by one '
        'pixel); more is a problem (default: %(default)s; 1 clips all boxes that touch the image)',
    )
    parser.add_argument('--force', action='store_true', help='replace json files that exist')


def check_options(args: argparse.Namespace) -> None:
    """Reject a ``--clip`` outside 0..1."""
    if not 0 <= args.clip <= 1:
        raise UserError(f'--clip takes a fraction of the width or height, from 0 to 1, and it is {args.clip:g}.')


def output_paths(out: str, splits, force: bool) -> dict:
    """The output file of each split: ``out`` itself if it ends in .json, else ``out/<split>.json``.

    Raises:
        UserError: A file exists and may not be replaced, or several splits would share one file.
    """
    splits = list(splits)
    if out.endswith('.json'):
        if len(splits) > 1:
            raise UserError(
                f'{len(splits)} splits ({", ".join(splits)}) need a file each, and '
                f'--out names one, {out}: name a folder.'
            )
        paths = {splits[0]: out}
    else:
        paths = {split: os.path.join(out, f'{split}.json') for split in splits}
    for path in paths.values():
        if os.path.lexists(path) and (not force or os.path.isdir(path)):
            raise UserError(
                f'the file {path} exists already: choose another place with --out, or replace it with --force.'
            )
    return paths


def report_and_write(contents: dict, findings: dict, paths: dict, skip_bad: bool) -> None:
    """Print the table, then write all files or none.

    Args:
        contents (dict[str, dict]): The json of each split.
        findings (dict[str, Findings]): The problems of each split.
        paths (dict[str, str]): The output file of each split.
        skip_bad (bool): Write what is left without the images and boxes that have problems.

    Raises:
        UserError: There are problems, no image is left, or a file cannot be written.
    """
    print(table(contents, findings))
    reject_bad(findings, skip_bad)
    empty = [split for split, content in contents.items() if not content['images']]
    if empty:
        raise UserError(
            f'no image of {empty[0]} is left: check the folders, and what was dropped according to the table; '
            f'nothing was written.'
        )
    finished = {}
    try:
        for split, path in paths.items():
            text = json.dumps(contents[split], ensure_ascii=False).encode()
            write_atomically(f'{path}.new', lambda file, text=text: file.write(text))
            finished[f'{path}.new'] = path
        for temporary, path in finished.items():
            os.replace(temporary, path)
    finally:
        for temporary in finished:
            if os.path.exists(temporary):
                os.remove(temporary)


def table(contents: dict, findings: dict) -> str:
    """A text table of counts with one column a split; only problems that occur have a row."""
    rows = [['', *contents]]

    def row(title: str, count) -> None:
        rows.append([title, *(str(count(split)) for split in contents)])

    boxes = {
        split: Counter(box['category_id'] for box in content['annotations']) for split, content in contents.items()
    }
    filled = {split: {box['image_id'] for box in content['annotations']} for split, content in contents.items()}
    row('images', lambda split: len(contents[split]['images']))
    row('  without boxes', lambda split: len(contents[split]['images']) - len(filled[split]))
    row('boxes', lambda split: boxes[split].total())
    row('  ignored (iscrowd)', lambda split: sum(bool(box.get('iscrowd')) for box in contents[split]['annotations']))
    for category in next(iter(contents.values()))['categories']:
        row(f'  {category["name"]}', lambda split: boxes[split][category['id']])
    row('clipped boxes', lambda split: findings[split].clipped)
    if any(found.repeated for found in findings.values()):
        row('repeated boxes, left out', lambda split: len(findings[split].repeated))
    for kind in ('images', 'boxes'):
        reasons = dict.fromkeys(reason for found in findings.values() for reason in getattr(found, kind))
        for reason in reasons:
            row(f'wrong {kind}: {reason}', lambda split: len(getattr(findings[split], kind).get(reason, ())))
    widths = [max(len(line[column]) for line in rows) for column in range(len(rows[0]))]
    return '\n'.join(
        '  '.join(
            cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in rows
    )
