"""What a bench file may hold: each mistake is one sentence, before anything is built."""

import pytest

from hsakd_mm.errors import UserError
from hsakd_mm.experiments.bench_file import read_bench

BENCH = """
seeds = [0, 1]
runs = [
    dict(name='teacher', config='plain.py', seeds=[0], row=False),
    dict(name='plain', config='plain.py'),
    dict(name='KD', config='kd.py', needs={'default_hooks.distillation.checkpoint': 'teacher'}),
]
detector = dict(config='detector.py')
"""
FILE = 'seeds = [0, 1]'  # is replaced by a line of the file's own
RUN = "name='plain', config='plain.py'"
DETECTOR = "config='detector.py'"


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(old: str = '', new: str = '') -> tuple[dict, dict]:
        assert old in BENCH
        (tmp_path / 'bench.py').write_text(BENCH.replace(old, new))
        return read_bench('bench.py')

    return run


@pytest.mark.parametrize(
    'old, new, said',
    [
        (
            FILE,
            'seeds = 3',
            r'^seeds of bench.py should be a list of numbers of 0 or more, as \[0, 1\], and is 3: corr',
        ),
        (FILE, "seeds = ['0']", 'seeds of bench.py should be a list of numbers'),
        (FILE, 'seeds = [True]', 'seeds of bench.py should be a list of numbers'),
        (FILE, 'seeds = [-1]', r'should be a list of numbers of 0 or more.*and is \[-1\]'),
        (FILE, 'seeds = [0]\nruns = dict(A=1)', r'^runs of bench.py should be a list of dict\(name=..., config=...\)'),
        (FILE, 'seeds = [0]\nruns = [3]', '^runs of bench.py should be a list of dict'),
        (FILE, "options = ['a=1']", '^options of bench.py should be a dict of values by option'),
        (FILE, "baseline = ['plain']", '^baseline of bench.py should be a text'),
        (
            FILE,
            "baseline = 'teacher'",
            "baseline of bench.py should be one of its rows, and it is 'teacher'.*plain, KD",
        ),
        (FILE, 'pairs = [3]', '^pairs of bench.py should be a list of pairs'),
        (FILE, "pairs = ('plain', 'KD')", '^pairs of bench.py should be a list of pairs'),
        (FILE, "pairs = [('plain', 'teacher')]", "two of its rows each .plain, KD.*'teacher'"),
        (FILE, "notes = 'hello'", "^notes of bench.py should be a list of texts, and is 'hello'"),
        (FILE, 'title = 3', '^title of bench.py should be a text'),
        (FILE, 'work_dir = 3', '^work_dir of bench.py should be a text'),
        (FILE, 'jobs = True', '^jobs of bench.py should be a number of 1 or more'),
        (
            FILE,
            "prepare = dict(title='a', produces='b', command='tool.py')",
            '^command of prepare of .* a list of texts',
        ),
        (FILE, "prepare = dict(title='a', produces='b')", r'should be dict\(title=..., command=..., produces=...\)'),
        (DETECTOR, 'config=None', r'^detector of bench.py should be dict\(config=...\)'),
        (DETECTOR, f'{DETECTOR}, folder=3', '^folder of the detector of bench.py should be a text'),
        (DETECTOR, f'{DETECTOR}, folder="KD"', 'none of its runs'),
        (DETECTOR, f'{DETECTOR}, folders="a"', 'the detector of bench.py sets folders, .*did you mean folder'),
        (RUN, f'{RUN}, seeds=0', "^seeds of the run 'plain' of bench.py should be a list of numbers"),
        (RUN, f"{RUN}, needs=['teacher']", "^needs of the run 'plain' of bench.py should be a dict"),
        (RUN, f"{RUN}, options=['a=1']", "^options of the run 'plain' of bench.py should be a dict"),
        (RUN, f'{RUN}, row=0', "^row of the run 'plain' of bench.py should be True or False"),
        (RUN, f'{RUN}, option=dict()', "the run 'plain' of bench.py sets option, .*did you mean options"),
        (RUN, "name='plain', config=None", 'a name of its own .not random., a config'),
        (RUN, "name=3, config='plain.py'", '^name of the run 3 of bench.py should be a text'),
    ],
)
def test_mistakes(read, old, new, said) -> None:
    if new.startswith('seeds = [0]\nruns'):  # the last one counts
        old, new = "detector = dict(config='detector.py')", new.partition('\n')[2]
    with pytest.raises(UserError, match=said):
        read(old, new)


def test_a_file_without_a_row_is_refused(read) -> None:
    with pytest.raises(UserError, match='none in its list is a row'):
        read(BENCH, "runs = [dict(name='teacher', config='plain.py', row=False)]")


def test_what_is_none_is_left_out(read) -> None:
    content, entries = read(FILE, 'baseline = title = threads = prepare = None')
    assert content['baseline'] == 'plain'  # the first row, not the teacher
    assert not {'title', 'threads', 'prepare'} & set(content)
    _, entries = read(RUN, f'{RUN}, needs=None, curve=None')
    assert entries['plain'] == dict(name='plain', config='plain.py')
    assert list(read(FILE, 'seeds = range(3)')[0]['seeds']) == [0, 1, 2]
