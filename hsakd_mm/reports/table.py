"""The table that says what a pretraining was worth, and where each number in it came from."""

import json
import os
from collections.abc import Sequence

from hsakd_mm.files import replace

# key in a row: heading, how it is written
COLUMNS = {
    'name': ('pretraining', '{}'),
    'top1': ('top-1 %', '{:.2f}'),
    'AP': ('AP', '{:.1f}'),
    'AP50': ('AP50', '{:.1f}'),
    'AP75': ('AP75', '{:.1f}'),
    'AP_S': ('AP small', '{:.1f}'),
    'AP_M': ('AP medium', '{:.1f}'),
    'AP_L': ('AP large', '{:.1f}'),
    'seconds': ('seconds', '{:,.0f}'),
    'parameters': ('parameters', '{:,}'),
    'seed': ('seed', '{}'),
}
ABSENT = '–'


def write_report(rows: Sequence[dict], out_dir: str, title: str, notes: Sequence[str] = ()) -> dict:
    """Write ``report.md`` and ``report.json`` into ``out_dir``.

    Args:
        rows (list[dict]): One a model: ``name``; ``top1``, ``AP``, ``AP50``, … in percent;
            ``seconds``; ``parameters``; and where they came from: ``command``, ``commit``,
            ``seed``, ``hardware``, ``checkpoint_sha256``. What is absent is shown as –; a column
            that no row has is left out; keys beyond these go into the JSON.
        out_dir (str): Made if it is not there.
        title (str): Heading.
        notes (list[str]): Sentences below the table, in Markdown.

    Returns:
        dict[str, str]: The files, as ``dict(md=..., json=...)``.

    Raises:
        UserError: They cannot be written.
    """
    rows = [dict(row) for row in rows]
    files = {ending: os.path.join(out_dir, f'report.{ending}') for ending in ('md', 'json')}
    text = [f'# {title}', '', *markdown_table(rows), '', *(f'{note}\n' for note in notes), *_origins(rows)]
    content = json.dumps(dict(title=title, rows=rows, notes=list(notes)), indent=1, default=str)
    replace(files['md'], lambda file: file.write('\n'.join(text).rstrip().encode() + b'\n'))
    replace(files['json'], lambda file: file.write(content.encode() + b'\n'))
    return files


def markdown_table(rows: Sequence[dict]) -> list:
    """The rows as lines of Markdown."""
    heads, cells = _cells(rows)
    rule = ['---' if number == 0 else '---:' for number in range(len(heads))]
    return [f'| {" | ".join(line)} |' for line in (heads, rule, *cells)]


def print_table(rows: Sequence[dict]) -> None:
    """The rows for a terminal: names to the left, numbers to the right, below each other."""
    heads, cells = _cells(rows)
    widths = [max(map(len, column)) for column in zip(heads, *cells)]

    def line(parts):
        first, *others = (
            part.ljust(width) if number == 0 else part.rjust(width)
            for number, (part, width) in enumerate(zip(parts, widths))
        )
        return '  '.join([first, *others])

    print('\n'.join([line(heads), line(['─' * width for width in widths]), *map(line, cells)]), flush=True)


def _cells(rows: Sequence[dict]) -> tuple:
    columns = [key for key in COLUMNS if any(row.get(key) is not None for row in rows)]
    heads = [COLUMNS[key][0] for key in columns]
    return heads, [
        [ABSENT if row.get(key) is None else COLUMNS[key][1].format(row[key]) for key in columns] for row in rows
    ]


def _origins(rows: Sequence[dict]) -> list:
    """Where each row came from, as Markdown."""
    lines = []
    for row in rows:
        parts = []
        if row.get('checkpoint_sha256'):
            parts.append(f'checkpoint SHA-256 `{row["checkpoint_sha256"]}`')
        if row.get('commit'):
            parts.append(f'commit `{row["commit"]}`{" with changes" if row.get("dirty") else ""}')
        if row.get('seed') is not None:
            parts.append(f'seed {row["seed"]}')
        if row.get('hardware'):
            parts.append(hardware_of(row['hardware']))
        if row.get('command'):
            parts.append(f'`{row["command"]}`')
        if parts:
            lines.append(f'- **{row.get("name", "")}**: {"; ".join(parts)}')
    return ['## Where the numbers come from', '', *lines] if lines else []


def hardware_of(hardware) -> str:
    """The hardware of :func:`provenance` in a few words."""
    if not isinstance(hardware, dict):
        return str(hardware)
    gpus = hardware.get('gpu') or []
    return f'{len(gpus)} × {gpus[0]}' if gpus else f'{hardware.get("cores")} cores of {hardware.get("cpu")}'
