"""What a comparison says of chance, row by row."""

import pytest

from hsakd_mm.reports.comparison_significance import columns, coverage, needed, p_values, seeds_verdict, verdict


def row(name: str, low: float | None, high: float | None, seeds: int = 0, paired: bool = True, **test) -> dict:
    """A row of the table, as far as chance is concerned."""
    test = dict(seeds=seeds, p=0.25, smallest=0.25, paired=paired, ahead=2 if paired else None, needed=None) | test
    difference = dict(difference=1.0, low=low, high=high, resamples=1000, seeds=seeds, paired=paired)
    return dict(name=name, difference=difference, seed_test=test if seeds else None)


@pytest.mark.parametrize(
    'found, said',
    [
        (row('a', -1, 2), 'The interval contains 0: these test images do not tell the two apart.'),
        (row('a', -1, 2, seeds=3), 'The interval contains 0: these seeds and test images do not tell the two apart.'),
        (row('a', 1, 2, seeds=3), 'The interval does not contain 0.'),
        (row('a', None, None), 'There is no interval of the difference.'),
    ],
)
def test_verdict(found, said) -> None:
    assert verdict(found) == said


def test_what_the_seeds_say() -> None:
    assert seeds_verdict(row('a', -1, 2)) == ''
    many = row('a*', 1, 2, seeds=10, p=0.0004, smallest=2 / 1024, ahead=9)
    assert seeds_verdict(many) == r'a\* is ahead in 9 of 10 seeds (p < 0.001).'
    assert columns([row('b', 1, 2), many]) == {'b': ['–', '–'], 'a*': ['9 of 10', '< 0.001']}
    assert columns([row('b', 1, 2)]) == {}
    assert p_values([row('b', 1, 2)]) == needed([row('b', 1, 2)]) == ''
    other = row('c', 1, 2, seeds=3, paired=False, smallest=0.1)
    assert 'Seeds ahead' not in p_values([other])
    assert 'Those of c, which are not the seeds of the baseline, cannot give one below 0.10.' in p_values([other])
    assert 'p below' not in p_values([row('d', 1, 2, seeds=20, smallest=1 / 10_001)])  # no limit that matters
    assert '10 seeds cannot give a p below 0.002. Seeds ahead:' in p_values([many])
    said = p_values([many], ['plain', 'a*'])
    assert 'over seeds, on' in said and r'Those of plain, a\* share one pretraining, whose own' in said


def test_how_many_seeds_are_needed() -> None:
    rows = [
        row('clear', 1, 2, seeds=3, needed=9),
        row('open', -1, 2, seeds=3, needed=24),
        row('far', -1, 2, seeds=3, needed=4242),
        row('unknown', -1, 2, seeds=3, needed=None),
        row('single', -1, 2),
    ]
    assert needed(rows).endswith('(paired t test at 5 %, power 80 %): open 24, far more than 1,000.')
    images = needed([row('few images', -1, 2, seeds=3, needed=3)])
    assert images.startswith('Of few images the interval contains 0') and 'more test images would help.' in images


def test_what_intervals_cover() -> None:
    pair, single, other = row('a', 1, 2, seeds=10), row('b', 1, 2), row('c', 1, 2, seeds=4, paired=False)
    assert coverage([row('a', None, None)], [], ['a'], 8) == ''
    assert coverage([single], [], ['b'], 8).endswith('which ± covers, nor the seed of the pretraining.')
    assert coverage([single], ['b'], [], 8).endswith('not the seeds of training, which ± covers.')
    said = coverage([pair], ['a'], [], 8)
    assert said.endswith('in pairs of the same seed. It covers the choice of test images and the seeds of training.')
    said = coverage([pair, single, other], ['a'], ['b', 'c'], 8)
    assert 'in pairs where both have the same ones.' in said and 'Of b, with a single seed,' in said
    assert 'It does not cover, of b, c, the seed of the pretraining.' in said and 'over 4 seeds is rather' in said
    assert 'of the seeds, of each row alone.' in coverage([other], ['c'], [], 8)
