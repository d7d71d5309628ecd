"""The papers' numbers stand in the metafiles, and the tables of the READMEs have the same ones."""

import re
from pathlib import Path

import pytest

from tests.configs.test_pages import WITH_METAFILE, by_folder, metafile

# Of the one table that names no config: its columns.
IMAGENET = {
    'imagenet_r34_teacher': 'teacher',
    'imagenet_r34_teacher_joint': r'teacher\*',
    'imagenet_r34_r18': 'HSAKD',
    'imagenet_r34_joint_r18': r'HSAKD\*',
}


def tables(folder: Path) -> list:
    """Of each table in the README: its heads, and its rows."""
    made = []
    for block in re.findall(r'(?:^\|.*\|\n)+', (folder / 'README.md').read_text(), re.MULTILINE):
        lines = [[cell.strip() for cell in line.strip('|').split('|')] for line in block.splitlines()]
        made.append((lines[0], lines[2:]))
    return made


def cells_about(name: str, folder: Path) -> list:
    """The cells that may have the number of a config: of its row or column, and of rows that begin like its row."""
    there, named = tables(folder), f'`{name}.py`'
    for heads, rows in there:
        if named in heads:
            return [row[heads.index(named)] for row in rows]
        if name in IMAGENET and 'KD' in heads and rows[0][0] == 'paper' and folder.name == 'hsakd':
            return [rows[0][heads.index(IMAGENET[name])]]
    own = [(heads, row) for heads, rows in there for row in rows if named in row]
    assert len(own) == 1, name
    heads, row = own[0]
    if all('`' in cell for cell in row[1:]):  # a table of configs: the numbers are in the column of this name
        head = heads[row.index(named)]
        return [
            other[heads.index(head)]
            for heads, rows in there
            for other in rows
            if other[0] == row[0] and head in heads and other is not row
        ]
    place = row.index(named)
    return row[place + 1 : place + 2] if '/' in row[place + 1] else row


@by_folder(WITH_METAFILE)
def test_readmes_have_the_numbers_of_the_metafiles(folder) -> None:
    known = [model for model in metafile(folder)['Models'] if 'Published' in model]
    if not known:
        pytest.skip('no number was published')
    for model in known:
        said = model['Published']
        assert set(said) == {'Top 1 Accuracy', 'Source'} and said['Source']
        figure = f'{said["Top 1 Accuracy"]:.2f}'
        name = Path(model['Config']).stem
        assert any(re.match(rf'{figure}(?: /|$)', cell) for cell in cells_about(name, folder)), (name, figure)
