"""The report of one transfer: its row, its learning curve, and how it was obtained."""

import os
from collections.abc import Sequence

from . import terminal
from .comparison_pictures import draw_curves
from .curves import have_shape, read_curves
from .metrics import NOISE
from .origins import checkpoint_table, origin_items
from .page import Heading, Items, Picture, Table, Text, escaped, write_page
from .setting import setting

# key in the row: heading, format
COLUMNS = {
    'name': ('Pretraining', '{}'),
    'top1': ('Top-1 (%)', '{:.2f}'),
    'AP': ('AP', '{:.1f}'),
    'AP50': ('AP50', '{:.1f}'),
    'AP75': ('AP75', '{:.1f}'),
    'AP_S': ('AP_S', '{:.1f}'),
    'AP_M': ('AP_M', '{:.1f}'),
    'AP_L': ('AP_L', '{:.1f}'),
    'seconds': ('Seconds', '{:,.0f}'),
    'parameters': ('Parameters', '{:,}'),
    'seed': ('Seed', '{}'),
}
NOISY = '{name}: AP is {AP:.2f}, which is noise: train longer, or on more images.'


def write_report(row: dict, out_dir: str, title: str, notes: Sequence[str] = ()) -> dict:
    """Write ``report.json``, ``.md`` and ``.html``, and ``.png`` where the run in ``out_dir`` logged a curve.

    Args:
        row (dict): ``name``; ``top1``, ``AP``, ``AP50``, … in percent; ``seconds``; ``parameters``; perhaps
            ``remark``; the keys of :data:`.setting.KEYS`; and the origin: ``command``, ``commit``, ``seed``,
            ``hardware``, ``checkpoint_sha256``. A column without a value is left out; other keys go into the JSON
            only.
        out_dir (str): Created if absent.
        title (str): Heading.
        notes (list[str]): Sentences below the table, in Markdown.

    Returns:
        dict[str, str]: The files by ending.

    Raises:
        UserError: They cannot be written.
    """
    line = setting([row])
    measure, curves = read_curves({row['name']: [dict(row, folder=out_dir)]}, 'AP')
    pictures = []
    if have_shape(curves):
        pictures = [Picture(os.path.join(out_dir, 'report.png'), 'Learning curve.')]
        draw_curves(curves, measure, pictures[0].file, title)
    blocks = [
        *([Text(line)] if line else []),
        _table(row),
        *([Text(f'{escaped(row["name"])}: {row["remark"]}')] if row.get('remark') else []),
        *(
            [Text(NOISY.format(name=escaped(row['name']), AP=row['AP']))]
            if row.get('AP') is not None and row['AP'] < NOISE
            else []
        ),
        *map(Text, notes),
        *pictures,
        Heading('Where the numbers come from'),
        checkpoint_table([row], 'AP'),
        Items(origin_items([row])),
    ]
    return write_page(out_dir, title, blocks, dict(title=title, rows=[row], notes=list(notes)))


def print_table(row: dict) -> None:
    """Print the table of :func:`write_report`."""
    terminal.print_table(_table(row))


def _table(row: dict) -> Table:
    columns = [key for key in COLUMNS if row.get(key) is not None]
    return Table([COLUMNS[key][0] for key in columns], [[COLUMNS[key][1].format(row[key]) for key in columns]])
