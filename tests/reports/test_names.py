"""Names that mean something to Markdown or HTML are shown as they are, in every report."""

import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from hsakd_mm.reports.comparison import FailedRun, write_comparison
from hsakd_mm.reports.methods import write_method_report
from hsakd_mm.reports.table import write_report
from tests.reports.test_methods import RESULTS

NAMES = [
    'a|b',
    'HSAKD*',
    '*x* **y**',
    '_x_ a_b',
    'a<b>c',
    'x & &lt;',
    '[a](b)',
    'a`b`c',
    r'a\|b',
    '~~x~~',
    '# 1',
    'a\nb',
    '| |',
]


class Tables(HTMLParser):
    """The text of every cell, by table and row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: list = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        if tag == 'table':
            self.tables.append([])
        elif tag == 'tr':
            self.tables[-1].append([])
        elif tag in ('td', 'th'):
            self.tables[-1][-1].append('')
            self.inside = True

    def handle_endtag(self, tag) -> None:
        self.inside = self.inside and tag not in ('td', 'th')

    def handle_data(self, data) -> None:
        if self.inside:
            self.tables[-1][-1][-1] += data


def assert_shown(files: dict, *names: str) -> None:
    """Both pages hold the same tables, whose first has the names; every name is in the text too."""
    with open(files['md']) as file:
        rendered = MarkdownIt('commonmark').enable(['table', 'strikethrough']).render(file.read())
    with open(files['html']) as file:
        page = file.read().split('<script>')[0]
    for text in (rendered, page):
        tables = Tables(text).tables
        assert [' '.join(row[0].split()) for row in tables[0][1:]] == [' '.join(name.split()) for name in names]
        assert all(len({len(row) for row in table}) == 1 for table in tables)
        origins = text.rsplit('Where the numbers come from', 1)[1]
        plain = re.sub(r'\s+', ' ', Text(re.sub(r'<table>.*?</table>', '', origins, flags=re.DOTALL)).text)
        assert all(' '.join(name.split()) in plain for name in names)


class Text(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ''
        self.feed(page)

    def handle_data(self, data) -> None:
        self.text += data


@pytest.mark.parametrize('name', NAMES)
def test_the_report_of_a_run(name, tmp_path) -> None:
    assert_shown(write_report(dict(name=name, AP=0.4, seed=1, remark='odd.'), str(tmp_path), 'Transfer'), name)


@pytest.mark.parametrize('name', NAMES)
def test_the_report_of_a_bench(name, tmp_path) -> None:
    results = [dict(result, name=name) for result in RESULTS]
    assert_shown(write_method_report(results, str(tmp_path), 'Bench', baseline=name), name)


@pytest.mark.parametrize('name', NAMES)
def test_a_comparison(name, finished, tmp_path) -> None:
    run = finished('other', 0, 0.9, record=False)
    run.name = name
    runs = [finished('plain', 0, 0.5, record=False), run]
    failed = [FailedRun(name, 1, 'no memory.')]
    assert_shown(write_comparison(runs, str(tmp_path / 'out'), 'C', failed=failed), 'plain', name)
