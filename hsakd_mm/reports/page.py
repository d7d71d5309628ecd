"""A report as blocks, written as Markdown for a repository and as one HTML file for a browser.

The HTML needs nothing beside it: pictures are inside, there is no network, no font, no library. It
opens from disk, follows the system's light or dark colours, and a click on a table's heading sorts.
"""

import base64
import html
import mimetypes
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

STYLE = """
:root { color-scheme: light dark; --ink: #1d1d1f; --muted: #62666d; --paper: #fff; --line: #d9dce1;
        --stripe: #f5f6f8; --link: #0060a8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e7ea; --muted: #a0a5ae; --paper: #16181c; --line: #383c44; --stripe: #1e2127;
          --link: #74b9f0; } }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 68rem; color: var(--ink);
       background: var(--paper); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .6rem; }
p, li { max-width: 48rem; overflow-wrap: anywhere; }
li { margin: .35rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .4rem .8rem; text-align: right; white-space: nowrap;
         border-bottom: 1px solid var(--line); }
th { color: var(--muted); font-weight: 600; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0;
                                 background: var(--paper); }
tbody tr:hover td { background: var(--stripe); }
th button { all: unset; cursor: pointer; }
th button:focus-visible { outline: 2px solid var(--link); }
th[aria-sort=ascending] button::after { content: ' ↑'; }
th[aria-sort=descending] button::after { content: ' ↓'; }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 6px; }
figcaption { color: var(--muted); font-size: .88rem; max-width: 48rem; }
code { font: .86em ui-monospace, monospace; background: var(--stripe); padding: .1em .3em;
       border-radius: 3px; }
"""
# Cells sort by their first number, others by their text; a dash (nothing there) is always last.
SCRIPT = """
for (const table of document.querySelectorAll('table'))
  table.querySelectorAll('th').forEach((head, column) => {
    head.firstChild.addEventListener('click', () => {
      const up = head.ariaSort ? head.ariaSort !== 'ascending' : column === 0;
      table.querySelectorAll('th').forEach(other => other.removeAttribute('aria-sort'));
      head.ariaSort = up ? 'ascending' : 'descending';
      const value = row => row.cells[column].textContent.replace('−', '-').replace(/,/g, '');
      const number = text => parseFloat(text);
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if ((x === '–') !== (y === '–')) return x === '–' ? 1 : -1;
        const order = column && !isNaN(number(x)) && !isNaN(number(y))
          ? number(x) - number(y) : x.localeCompare(y, undefined, {numeric: true});
        return up ? order : -order;
      }));
    });
  });
"""


@dataclass
class Heading:
    text: str


@dataclass
class Text:
    """A paragraph; `` `code` `` and ``**bold**`` as in Markdown."""

    text: str


@dataclass
class Items:
    """A list of such paragraphs."""

    items: Sequence[str] = field(default_factory=list)


@dataclass
class Table:
    """Cells as text; the first column names the row, all others are numbers."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass
class Picture:
    """A PNG file: Markdown names it, from the same folder; HTML holds it."""

    file: str
    caption: str


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
            case Table(heads, rows):
                rule = ['---', *['---:'] * (len(heads) - 1)]
                parts.append(
                    '\n'.join(
                        f'| {" | ".join(cell.replace("|", chr(92) + "|") for cell in line)} |'
                        for line in (heads, rule, *rows)
                    )
                )
            case Picture(file, caption):
                parts.append(f'![{caption}]({os.path.basename(file)})')
    return '\n\n'.join(parts) + '\n'


def to_html(title: str, blocks: Sequence) -> str:
    """The report as one HTML page that holds its pictures.

    Raises:
        OSError: A picture's file is not there.
    """
    name = html.escape(title)
    body = '\n'.join([f'<h1>{_inline(title)}</h1>', *map(_block, blocks)])
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{name}</title>\n<style>{STYLE}</style>\n<main>\n{body}\n</main>\n'
        f'<script>{SCRIPT}</script>\n</html>\n'
    )


def _block(block) -> str:
    match block:
        case Heading(text):
            return f'<h2>{_inline(text)}</h2>'
        case Text(text):
            return f'<p>{_inline(text)}</p>'
        case Items(items):
            return '<ul>' + '\n'.join(f'<li>{_inline(item)}</li>' for item in items) + '</ul>'
        case Table(heads, rows):
            head = ''.join(f'<th scope="col"><button>{_inline(text)}</button></th>' for text in heads)
            lines = '\n'.join('<tr>' + ''.join(f'<td>{_inline(cell)}</td>' for cell in row) + '</tr>' for row in rows)
            return (
                f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody></table></div>'
            )
        case Picture(file, caption):
            with open(file, 'rb') as content:
                data = base64.b64encode(content.read()).decode()
            kind = mimetypes.guess_type(file)[0]
            return (
                f'<figure><img alt="{html.escape(caption)}" '
                f'src="data:{kind};base64,{data}">\n'
                f'<figcaption>{_inline(caption)}</figcaption></figure>'
            )
    raise TypeError(f'{block!r} is no block of a report.')


def _inline(text: str) -> str:
    """Escaped, with the little Markdown that notes use; what stands in `code` is left alone."""
    parts = re.split(r'`([^`]+)`', text)
    for number, part in enumerate(parts):
        part = html.escape(part)
        if number % 2:
            parts[number] = f'<code>{part}</code>'
            continue
        part = re.sub(r'\*\*(.+?)\*\*', r'<strong>\1</strong>', part)
        parts[number] = re.sub(r'\[([^\]]+)\]\((https?://[^)\s]+)\)', r'<a href="\2">\1</a>', part)
    return ''.join(parts)
