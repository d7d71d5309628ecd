"""Tables on the terminal, by rich."""

import rich.box
import rich.table
from rich.console import Console
from rich.text import Text

from .page import Table

WIDE = 1000  # columns where there is no terminal: a line of a log or a pipe is never cut or wrapped


def print_table(table: Table) -> None:
    """Print a table; names are aligned left, numbers right."""
    shown = rich.table.Table(box=rich.box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for number, head in enumerate(table.heads):
        shown.add_column(Text(head), justify='right' if number else 'left', overflow='fold')
    for row in table.rows:
        shown.add_row(*map(Text, row))  # Text: brackets in a cell are not rich's markup
    console = Console()
    if not console.is_terminal:
        console.width = WIDE
    console.print(shown)
