"""Two networks in all roles, one of which fails in one; and the page that is written."""

import csv
import json

import pytest

from .commands import ROOT, module, python

pytest.importorskip('mmdet', reason='mmdet is not installed')
SCRIPT = ROOT / 'tools' / 'analysis_tools' / 'timm_coverage.py'


def test_what_works_and_why_not(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr('logging.disable', lambda level: None)  # the other tests of this process read the log
    tool = module(SCRIPT)
    monkeypatch.setattr('sys.argv', ['timm_coverage.py', '--models', 'test_vit', 'test_resnet', '--out', str(tmp_path)])

    def fails(self) -> None:
        raise ValueError('a | in the\nreason')

    monkeypatch.setattr(tool.Trial, 'detector', lambda self: fails(self) if 'vit' in self.name else None)
    tool.main()
    with open(tmp_path / 'coverage.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['architecture'] for row in rows] == ['test_resnet', 'test_vit']
    assert [[row[role] for role in tool.ROLES] for row in rows] == [['yes'] * 4, ['yes', 'yes', 'yes', 'no']]
    assert rows[1]['why'] == 'detector: a | in the reason'
    page = (tmp_path / 'README.md').read_text()
    assert '2 of 2 as student (100%)' in page and '1 of 2 as detection backbone (50%)' in page
    assert 'a \\| in the reason' in page
    assert json.loads((tmp_path / 'coverage.json').read_text())['works']['detector'] == 1

    monkeypatch.setattr(tool, 'measure', None)  # all is done: called again, nothing is measured
    tool.main()
    assert 'detector": "1/2"' in capsys.readouterr().out


def test_unknown_names(tmp_path) -> None:
    for option, said in (('--models', 'no model named'), ('--files', 'no model file')):
        done = python(SCRIPT, option, 'xyzzy', '--out', tmp_path, cwd=tmp_path)
        assert done.returncode != 0 and said in done.stderr
