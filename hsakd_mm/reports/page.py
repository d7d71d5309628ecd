"""A report as blocks: Markdown for a repository, one HTML file for a browser, JSON for programs.

The texts of a block are Markdown. The HTML page is the template ``page.html.jinja``, which holds its pictures.
"""

import base64
import json
import mimetypes
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from hsakd_mm.files import write_atomically


@dataclass
class Heading:
    text: str


@dataclass
class Text:
    """A paragraph, or several with an empty line between them."""

    text: str


@dataclass
class Items:
    """A list of one-line paragraphs."""

    items: Sequence[str]


@dataclass
class Table:
    """The first column names the row, all others are numbers. Heads and names are plain text, other cells Markdown.

    Args:
        heads (Sequence[str]): Of the columns.
        rows (Sequence[Sequence[str]]): Of the table.
        words (Sequence[str]): Heads of columns of words, which are aligned like names.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[str] = ()


@dataclass
class Picture:
    """An image file in the folder of the report: Markdown links to it, HTML embeds it."""

    file: str
    caption: str


def write_page(out_dir: str, title: str, blocks: Sequence, content: dict) -> dict:
    """Write ``report.json``, ``report.md`` and ``report.html``.

    Args:
        out_dir (str): Created if absent.
        title (str): Heading of the page.
        blocks (Sequence): What the page shows, from top to bottom.
        content (dict): What the JSON file holds.

    Returns:
        dict[str, str]: The files by ending; ``png`` too where the blocks hold ``report.png``.

    Raises:
        UserError: A file cannot be written.
        OSError: A picture's file is missing.
    """
    texts = dict(
        json=json.dumps(content, indent=1, default=str) + '\n',
        md=to_markdown(title, blocks),
        html=to_html(title, blocks),
    )
    files = {ending: os.path.join(out_dir, f'report.{ending}') for ending in texts}
    for ending, text in texts.items():
        write_atomically(files[ending], lambda file: file.write(text.encode()))
    overview = os.path.join(out_dir, 'report.png')
    if any(isinstance(block, Picture) and block.file == overview for block in blocks):
        files['png'] = overview
    return files


def to_markdown(title: str, blocks: Sequence) -> str:
    """The report as Markdown."""
    parts = [f'# {title}']
    for block in blocks:
        match block:
            case Heading(text):
                parts.append(f'## {text}')
            case Text(text):
                parts.append(text)
            case Items(items):
                parts.append('\n'.join(f'- {item}' for item in items))
            case Table():
                parts.append(table_to_markdown(block))
            case Picture(file, caption):
                parts.append(f'![{caption}]({os.path.basename(file)})')
            case _:
                raise TypeError(f'{block!r} is not a block of a report.')
    return '\n\n'.join(parts) + '\n'


def table_to_markdown(table: Table) -> str:
    """The lines of a table, without the last one's end."""
    rule = ['---', *('---' if head in table.words else '---:' for head in table.heads[1:])]
    named = [[escaped(name), *cells] for name, *cells in table.rows]
    lines = ([cell.replace('|', r'\|') for cell in line] for line in (map(escaped, table.heads), rule, *named))
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def to_html(title: str, blocks: Sequence) -> str:
    """The report as one HTML page that embeds its pictures.

    Raises:
        OSError: A picture's file is missing.
    """
    markdown = MarkdownIt('commonmark', dict(html=False))
    loader = PackageLoader('hsakd_mm.reports', '.')
    page = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    page.filters.update(
        markdown=lambda text: Markup(markdown.render(text)),
        inline=lambda text: Markup(markdown.renderInline(text)),
        data_uri=_data_uri,
    )
    parts = [(type(block).__name__, block) for block in blocks]
    return page.get_template('page.html.jinja').render(title=title, blocks=parts) + '\n'


def escaped(name: str) -> str:
    """A name in Markdown, which is shown as it is; ``|``, special in a table only, is left to :func:`to_markdown`."""
    return re.sub(r'^[#+-]|[\\`*\[\]<>&~]|(?<!\w)_|_(?!\w)', r'\\\g<0>', ' '.join(name.split()))


def _data_uri(file: str) -> str:
    with open(file, 'rb') as content:
        data = base64.b64encode(content.read()).decode()
    return f'data:{mimetypes.guess_type(file)[0]};base64,{data}'
