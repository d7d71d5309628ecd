"""--cfg-options: values are read as in a config."""

import argparse

import pytest
from mmengine.config import DictAction

from hsakd_mm.engine.options import Options, parse_value


@pytest.mark.parametrize(
    'text, value',
    [
        ('my data', 'my data'),
        ('  my data/train ', 'my data/train'),
        ("it's here", "it's here"),
        ('"a, b"', 'a, b'),
        ("'a, b',c d", ['a, b', 'c d']),
        ('pictures (copy)', 'pictures (copy)'),
        ('smile :)', 'smile :)'),
        ('[a b,(c d,1)]', ['a b', ('c d', 1)]),
        ('dict(type="A", size=(2, 3))', dict(type='A', size=(2, 3))),
        ("[dict(type='A'), dict(type='B', b=dict(c=None))]", [dict(type='A'), dict(type='B', b=dict(c=None))]),
        ("dict(type='A'),dict(type='B')", [dict(type='A'), dict(type='B')]),
        ("{'a': [1, -2.5]}", {'a': [1, -2.5]}),
        ("[{'type': 'A, B'}]", [{'type': 'A, B'}]),
        ('0x10', '0x10'),
        ('1j', '1j'),
        ('', ''),
    ],
)
def test_values(text, value) -> None:
    assert parse_value(text) == value


SCALARS = ['1', '-1', '0.5', '1e-3', '08', 'true', 'False', 'None', 'none', 'a', 'a/b.py', 'timm://x', 'a=b', 'inf']
SEVERAL = ['[]', '()', '(1)', '(1,)', '[1]', '1,2', '1,2,', '[1,2]', '(1,[2,3],x)', '[(1,2),(3,4)]', '[a,b]']


@pytest.mark.parametrize('text', [*SCALARS, *SEVERAL, '"a"', "'a'", 'epoch_{seed}'])
def test_what_mmengine_reads_is_read_in_the_same_way(text) -> None:
    value, theirs = parse_value(text), DictAction._parse_iterable(text)
    assert value == theirs and type(value) is type(theirs)


@pytest.mark.parametrize(
    'pair, said',
    [
        ('a', "takes KEY=VALUE, and 'a' is none"),
        ('=1', "takes KEY=VALUE, and '=1' is none"),
        ('a=[1,2', 'lacks a closing ]'),
        ('a=[1,2)', 'do not match'),
        ('a=1,(2', 'lacks a closing )'),
        ('a="b', 'lacks a closing "'),
        ('a=dict(type=A)', 'is no value'),
        ('a=[dict(type=A)]', 'is no value'),
        ('a=dict(b=open("c"))', 'is no value'),
        ("a={'b': __import__('os')}", 'is no value'),
    ],
)
def test_mistakes_end_in_a_sentence(pair, said, capsys) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=Options)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(['--cfg-options', pair])
    assert ended.value.code == 2 and said in capsys.readouterr().err
