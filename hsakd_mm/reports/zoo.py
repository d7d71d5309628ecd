"""The model zoo: every config of the repository with parameters, cost, the published number and ours.

``docs/zoo.json`` holds it, as :mod:`hsakd_mm.experiments.model_zoo` collects it; here are the page and the tables.
"""

import os
from collections.abc import Sequence
from string import ascii_lowercase

from .page import Table

ZOO = 'docs/zoo.json'
NOT_RUN, ABSENT = 'not run', '–'
INTRODUCTION = (
    'Every config of the repository that is run, one table for each folder of `configs`. Parameters are of the '
    "student's backbone alone, which is what is exported; multiply-adds are of one training image, in convolutions and "
    'matrix products, forward and backward, with all its views, its branches, its peers and its teacher '
    '([training_cost.py](../hsakd_mm/evaluation/training_cost.py)); the cost is the same, relative to plain training '
    "of the same backbone. A teacher's own training is in none of them. Top-1 is in percent.",
    'Published numbers are those of the metafile of each folder; their sources stand below each table, where S, T and '
    r'T\* are columns of a source: a student without a teacher, a frozen and a jointly trained teacher. '
    'Ours come from a JSON file of the run, which names command, commit, seed and hardware. '
    '`python tools/publish.py` writes this page.',
)
_NUMBERS = ('Parameters (M)', 'Multiply-adds (G)', 'Cost (×)', 'Published', 'Ours')


def page(content: dict) -> str:
    """The page of the whole zoo, in ``docs``, as Markdown."""
    folders = content['folders']
    parts = ['# Model zoo', *INTRODUCTION]
    parts.append('Folders: ' + ', '.join(f'[{each["name"]}](#{_anchor(each["name"])})' for each in folders) + '.')
    for each in folders:
        parts += [f'## {each["name"]}', *_about(each), _lines(*_columns(each)), *_notes(_sources(each))]
    return '\n\n'.join(parts) + '\n'


def table(content: dict) -> Table:
    """What every config costs, its name in the first column, for pages that show some."""
    heads = ('Config', 'Network', *_NUMBERS[:3])
    rows = [
        [f'{folder["name"]}/{row["name"]}', row['network'], *_costs(row)]
        for folder in content['folders']
        for row in folder['rows']
    ]
    return Table(heads, rows, words=heads[:2])


def variants(content: dict) -> Table:
    """What the cheaper variants of a config cost, and how they are switched on."""
    heads = ('Variant', 'Options', *_NUMBERS[1:3])
    rows = [
        [row['name'], '<br>'.join(f'`{each}`' for each in row['options']), *_costs(row)[1:]]
        for row in content['variants']
    ]
    return Table(heads, rows, words=heads[:2])


def methods(content: dict) -> Table:
    """One line for each method; its links count from ``docs/methods``."""
    costs = {
        f'configs/{folder["name"]}/{row["name"]}.py': row for folder in content['folders'] for row in folder['rows']
    }
    rows = []
    for folder in content['folders']:
        for each in folder['collections']:
            if method := each.get('method'):
                paper = each.get('paper')
                rows.append(
                    [
                        each['name'],
                        method['Teacher'],
                        method['Learns'],
                        _costs(costs[method['Cost Of']])[2],
                        f'[page]({os.path.basename(method["Page"])})',
                        f'[configs](../../configs/{folder["name"]}/README.md)',
                        f'[paper]({paper["URL"]})' if paper else ABSENT,
                    ]
                )
    heads = ('Method', 'Teacher', 'What the student learns', 'Cost (×)', 'Page', 'Configs', 'Paper')
    return Table(heads, rows, words=[head for head in heads if head != 'Cost (×)'])


def _about(folder: dict) -> list[str]:
    """What stands above the table of a folder."""
    lines = []
    for each in folder['collections']:
        links = [f'[README](../{each["readme"]})'] if each.get('readme') else []
        if method := each.get('method'):
            links.append(f'[objective and switches](methods/{os.path.basename(method["Page"])})')
        if paper := each.get('paper'):
            links.append(f'[{paper["Title"]}]({paper["URL"]})')
        lines.append(f'- {each["name"]}: {", ".join(links)}')
    for each in folder['benches']:
        links = [f'[{link}](../{link})' for link in each['results']]
        said = f'results in {", ".join(links)}' if links else 'no published results'
        lines.append(f'- [{_stem(each["file"])}](../{each["file"]}): {said}')
    return ['\n'.join(lines)] if lines else []


def _columns(folder: dict) -> tuple[list, list]:
    """Heads and rows; what no config of the folder has is left out."""
    heads, sources = ['Config', 'Model', 'Network', 'Data', 'Epochs', *_NUMBERS], _sources(folder)
    rows = []
    for row in folder['rows']:
        published, ours = row.get('published'), row.get('ours')
        rows.append(
            [
                f'[`{row["name"]}`](../configs/{folder["name"]}/{row["name"]}.py)',
                row['model'],
                row['network'],
                row['data'],
                row['length'],
                *_costs(row),
                f'{published["Top 1 Accuracy"]:.2f} {_mark(sources, published)}' if published else ABSENT,
                f'[{ours["figure"]:.2f}]({_below_docs(ours["file"])})' if ours else NOT_RUN,
            ]
        )
    in_bench = bool(folder['benches'])  # whose results are tables of their own
    kept = [
        place
        for place, head in enumerate(heads)
        if any(row[place] not in ('', ABSENT) for row in rows) and not (head == 'Ours' and in_bench)
    ]
    return [heads[place] for place in kept], [[row[place] for place in kept] for row in rows]


def _sources(folder: dict) -> list[str]:
    """Where the published numbers of a folder are from, each once."""
    return list(dict.fromkeys(row['published']['Source'] for row in folder['rows'] if 'published' in row))


def _mark(sources: list, published: dict) -> str:
    return f'({ascii_lowercase[sources.index(published["Source"])]})'


def _notes(sources: list) -> list[str]:
    notes = [f'({letter}) {source}' for letter, source in zip(ascii_lowercase, sources)]
    return [f'Published: {"; ".join(notes)}.'.replace('T*', r'T\*')] if notes else []


def _costs(row: dict) -> list[str]:
    macs, plain = row.get('macs'), row.get('plain_macs')
    return [
        f'{row["parameters"] / 1e6:.3f}' if row.get('parameters') else ABSENT,
        f'{macs / 1e9:.3f}' if macs else ABSENT,
        f'{macs / plain:.2f}' if macs and plain else ABSENT,
    ]


def _lines(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ['---:' if head in _NUMBERS else '---' for head in heads]
    return '\n'.join(f'| {" | ".join(line)} |' for line in (heads, rule, *rows))


def _anchor(heading: str) -> str:
    """Of a heading, as GitHub and MkDocs make it."""
    return heading.lower().replace('/', '')


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _below_docs(path: str) -> str:
    return path.removeprefix('docs/')
