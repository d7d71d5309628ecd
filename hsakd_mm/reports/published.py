"""Published tables: what stands between markers in a page of the repository is written from a JSON file::

    <!-- table: methods docs/bench/digits_online/report.json columns="Method; Top-1 (%)" rows="plain; RSKD" -->
    ... the table ...
    <!-- end of table -->

Paths count from the page's folder, as those of links do. ``columns`` and ``rows`` choose some, in this order; by
default all are shown. A report beside its JSON (``report.md``, ``report.json``) is written whole, and so is the model
zoo (``docs/zoo.md``, ``docs/zoo.json``).

A JSON whose numbers today's code cannot give again has the key ``outdated``, a sentence that says why; it stands below
each table and at the top of the report.
"""

import os
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from glob import glob

from hsakd_mm.engine.user_messages import nearest
from hsakd_mm.errors import UserError
from hsakd_mm.files import read_json, read_text, write_atomically

from . import comparison_text, methods, speed_tables, zoo
from .comparison import Comparison
from .comparison_runs import FailedRun
from .page import Table, Text, table_to_markdown, to_markdown

PAGES = ('README.md', 'docs/**/*.md', 'benchmarks/README.md', 'configs/**/README.md')
REPORTS = 'docs/**/report.json'
PUBLISH = 'python tools/publish.py'
_MARKED = re.compile(
    r'(?P<start><!-- table: (?P<words>.+?) -->\n)(?P<table>.*?)(?P<end><!-- end of table -->)', re.DOTALL
)


@dataclass
class Difference:
    """A published number that is not what it should be.

    Args:
        page (str): The file.
        table (str): Which of its tables; may be empty.
        found (str): What is wrong.
        command (str): What renews it.
    """

    page: str
    table: str
    found: str
    command: str

    def __str__(self) -> str:
        where = f'{self.page}, table {self.table}' if self.table else self.page
        return f'{where}: {self.found}. Renew it: {self.command}'


def load_comparison(content: dict) -> Comparison:
    """The comparison that a report's JSON holds; one of an older version lacks some parts."""
    known = {field.name for field in fields(Comparison)}
    made = Comparison(**{key: value for key, value in content.items() if key in known})
    made.failed = [FailedRun(**run) for run in made.failed]
    made.rows = [{'seed_test': None, 'cost': None, **row} for row in made.rows]
    for row in made.rows:
        if row['difference']:
            row['difference'] = {'seeds': 0, 'paired': False, **row['difference']}
    return made


def is_comparison(content: dict) -> bool:
    """Whether a report's JSON compares detectors; else it compares methods."""
    return 'measure' in content


KINDS: dict[str, Callable[..., Table]] = dict(
    methods=lambda content: methods.table(methods.rows_of(content)),
    comparison=lambda content: comparison_text.table(load_comparison(content)),
    step=speed_tables.step,
    busy=speed_tables.busy,
    small_maps=speed_tables.small_maps,
    guards=speed_tables.guards,
    coverage=speed_tables.coverage,
    zoo=zoo.table,
    zoo_methods=zoo.methods,
    zoo_variants=zoo.variants,
)


def published(root: str) -> Iterator[tuple[str, str, str]]:
    """Each published file of a repository: its path from ``root``, its content, and what should be its content.

    Raises:
        UserError: A marker is not right.
    """
    found: dict = {}
    for path in paths_of(root, REPORTS):
        page = f'{os.path.splitext(path)[0]}.md'
        text = report(read_json(root, path), os.path.dirname(path))
        found[page] = text
        yield page, read_text(os.path.join(root, page)) if os.path.exists(os.path.join(root, page)) else '', text
    if content := read_json(root, zoo.ZOO):
        page = f'{os.path.splitext(zoo.ZOO)[0]}.md'
        found[page] = zoo.page(content)
        yield page, read_text(os.path.join(root, page)) if os.path.exists(os.path.join(root, page)) else '', found[page]
    for path in dict.fromkeys(page for pattern in PAGES for page in paths_of(root, pattern)):
        if path not in found:
            text = read_text(os.path.join(root, path))
            yield path, text, renewed(text, root, path)


def paths_of(root: str, pattern: str) -> list[str]:
    """The files below ``root`` that fit a pattern, as paths from there."""
    return sorted(glob(pattern, root_dir=root, recursive=True))


def write_published(root: str) -> list[str]:
    """Write all tables and reports anew; the files that changed."""
    changed = [(path, wanted) for path, content, wanted in published(root) if content != wanted]
    for path, wanted in changed:
        write_atomically(os.path.join(root, path), lambda file, text=wanted: file.write(text.encode()))
    return [path for path, _ in changed]


def differences(root: str) -> list[Difference]:
    """Tables and reports that are not what their JSON says."""
    found = []
    for path, content, wanted in published(root):
        if content == wanted:
            continue
        said = 'it is not what its JSON says'
        pairs = [pair for pair in zip(marked(content, path), marked(wanted, path)) if pair[0] != pair[1]]
        found += [Difference(path, words, said, PUBLISH) for (words, _), _ in pairs] or [
            Difference(path, '', said, PUBLISH)
        ]
    return found


def marked(text: str, path: str) -> list[tuple[str, str]]:
    """The marked tables of a page: the words of the marker, and what stands below it."""
    found = [(match['words'], match['table']) for match in _MARKED.finditer(text)]
    if len(found) != text.count('<!-- table:') or len(found) != text.count('<!-- end of table'):
        raise UserError(
            f'{path} should have "<!-- end of table -->" after each "<!-- table: KIND FILE -->", and one of them '
            f'stands alone: correct it.'
        )
    return found


def renewed(text: str, root: str, path: str) -> str:
    """A page with each marked table as its JSON says."""
    marked(text, path)
    return _MARKED.sub(lambda match: f'{match["start"]}{_render(match["words"], root, path)}{match["end"]}', text)


def _render(words: str, root: str, path: str) -> str:
    kind, *rest = shlex.split(words)
    options = dict(word.split('=', 1) for word in rest if '=' in word)
    files = [os.path.normpath(os.path.join(os.path.dirname(path), word)) for word in rest if '=' not in word]
    where = f'the table {words!r} of {path}'
    if kind not in KINDS or set(options) - {'columns', 'rows'} or not files:
        raise UserError(
            f'{where} should be one of {", ".join(KINDS)}, with a file and perhaps columns="..." and rows="...": '
            f'correct its marker.'
        )
    if missing := [file for file in files if not os.path.exists(os.path.join(root, file))]:
        raise UserError(f'{where} is written from {missing[0]}, and there is no such file: correct its marker.')
    if kind == 'coverage':
        return f'\n{table_to_markdown(speed_tables.coverage(os.path.join(root, files[0])))}\n\n'
    contents = [read_json(root, file) for file in files]
    table = chosen(KINDS[kind](*contents), options, where)
    reasons = [banner(each, os.path.dirname(file)) for each, file in zip(contents, files) if each.get('outdated')]
    return '\n' + '\n\n'.join([table_to_markdown(table), *reasons]) + '\n\n'


def chosen(table: Table, options: dict, where: str) -> Table:
    """Some columns and rows of a table, in the order of ``options['columns']`` and ``options['rows']``."""
    heads = _listed(options.get('columns'), table.heads, f'columns of {where}')
    rows = table.rows
    if 'rows' in options:
        named = {row[0]: row for row in rows}
        rows = [named[name] for name in _listed(options['rows'], list(named), f'rows of {where}')]
    places = [list(table.heads).index(head) for head in heads]
    return replace(table, heads=heads, rows=[[row[place] for place in places] for row in rows])


def _listed(text: str | None, known: Sequence[str], what: str) -> Sequence[str]:
    if text is None:
        return known
    wanted = [word.strip() for word in text.split(';')]
    for word in wanted:
        if word not in known:
            raise UserError(
                f'{what} should be of {", ".join(known)}, and {word!r} is none{nearest(word, known)}: correct '
                f'the marker.'
            )
    return wanted


def pages_with(root: str, file: str) -> list[str]:
    """The pages that show a table of a JSON file."""
    pages = []
    for path in dict.fromkeys(page for pattern in PAGES for page in paths_of(root, pattern)):
        for words, _ in marked(read_text(os.path.join(root, path)), path):
            if file in [os.path.normpath(os.path.join(os.path.dirname(path), word)) for word in shlex.split(words)]:
                pages.append(path)
    return list(dict.fromkeys(pages))


def report(content: dict, folder: str) -> str:
    """The page of a report's JSON, in ``folder``, as Markdown."""
    if is_comparison(content):
        blocks = comparison_text.blocks(load_comparison(content))
    else:
        blocks = methods.blocks(content, folder)
    first = [Text(banner(content, folder))] if content.get('outdated') else []
    return to_markdown(content['title'], [*first, *blocks])


def banner(content: dict, folder: str) -> str:
    """That the numbers are outdated, why, and what renews them."""
    return f'**Outdated: {content["outdated"].rstrip(".")}.** Renewed by `{how_to_renew(content, folder)}`.'


def how_to_renew(content: dict, folder: str) -> str:
    """The command that makes the numbers of a JSON file in ``folder`` anew."""
    bench = content.get('bench')
    if not bench:
        return content.get('command', PUBLISH)
    if os.path.basename(folder) == 'pretraining':  # below the report of the detectors
        folder = os.path.dirname(folder)
    return f'python tools/benchmark.py {bench} && {PUBLISH} {bench} {folder}'
