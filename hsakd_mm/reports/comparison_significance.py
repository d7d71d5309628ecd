"""What a comparison says of chance: what its intervals cover, p over seeds, and how many seeds would settle it."""

from collections.abc import Sequence

from .origins import ABSENT
from .page import escaped

MANY = 10  # from so many seeds a percentile interval covers nearly what it says
MOST = 1000  # more seeds than anybody trains need no exact number
SMALL = 0.001  # of a smaller p only this is said
HEADS = ('Seeds ahead', 'p')


def columns(rows: Sequence[dict]) -> dict[str, list[str]]:
    """The cells of each name in the columns :data:`HEADS`; empty where no row has two seeds beside the baseline's."""
    if not any(row['seed_test'] for row in rows):
        return {}
    return {row['name']: [_ahead(row['seed_test']), _p(row['seed_test'])] for row in rows}


def contains_zero(found: dict) -> bool:
    """Whether there is an interval of the difference, and it contains 0."""
    return found['low'] is not None and found['low'] <= 0 <= found['high']


def verdict(row: dict) -> str:
    """Whether the interval of a row contains 0, for the report's headline."""
    found = row['difference']
    if found['low'] is None:
        return 'There is no interval of the difference.'
    if not contains_zero(found):
        return 'The interval does not contain 0.'
    these = 'these seeds and test images' if found['seeds'] else 'these test images'
    return f'The interval contains 0: {these} do not tell the two apart.'


def seeds_verdict(row: dict) -> str:
    """In how many seeds a row is ahead, and p; empty with one seed."""
    test = row['seed_test']
    if not test:
        return ''
    p = f'p {"" if _p(test).startswith("<") else "= "}{_p(test)}'
    if not test['paired']:
        return f'Over the seeds, {p}.'
    smallest = f', the smallest that {test["seeds"]} seeds can give' if test['p'] == test['smallest'] else ''
    return f'{escaped(row["name"])} is ahead in {_ahead(test)} seeds ({p}{smallest}).'


def coverage(rows: Sequence[dict], own: Sequence[str], shared: Sequence[str], images: int) -> str:
    """How the intervals were made, and what they cover; empty without any.

    Args:
        rows (list[dict]): Of the table.
        own (list[str]): Names whose seeds start from a pretraining each.
        shared (list[str]): Names whose seeds share a pretraining.
        images (int): Test images.
    """
    found = [row for row in rows if row['difference'] and row['difference']['low'] is not None]
    if not found:
        return ''
    text = (
        f'In brackets: 95 % interval of the difference from {found[0]["difference"]["resamples"]} paired bootstrap '
        f'resamples of the {images} test images'
    )
    drawn = [row for row in found if row['difference']['seeds']]
    of = f', of {", ".join(map(escaped, shared))},' if own else ''
    by_pretraining = bool(shared) or not own
    if not drawn:
        nor = f', nor{of} the seed of the pretraining' if by_pretraining else ''
        return f'{text}. It covers the choice of test images, not the seeds of training, which ± covers{nor}.'
    text += f' and of the seeds, {_ways(drawn)}. It covers the choice of test images and the seeds of training.'
    if len(drawn) < len(found):
        others = ', '.join(escaped(row['name']) for row in found if row not in drawn)
        text += f' Of {others}, with a single seed, it covers the test images only.'
    if by_pretraining:
        text += f' It does not cover{of} the seed of the pretraining.'
    few = min(row['difference']['seeds'] for row in drawn)
    return text + (f' An interval over {few} seeds is rather too narrow; p is exact.' if few < MANY else '')


def p_values(rows: Sequence[dict], shared: Sequence[str] = ()) -> str:
    """What p and "Seeds ahead" are, and the smallest p that the seeds can give; empty without any.

    Args:
        rows (list[dict]): Of the table.
        shared (list[str]): Names of which several seeds start from one pretraining.
    """
    tested = [row for row in rows if row['seed_test']]
    if not tested:
        return ''
    limited = [row for row in tested if row['seed_test']['smallest'] >= SMALL]
    text = (
        'p: two-sided permutation test of the difference over seeds, on these test images; it does not allow '
        'for the number of rows.'
    )
    if shared:
        text += f' Those of {", ".join(map(escaped, shared))} share one pretraining, whose own seed p does not cover.'
    paired = {row['seed_test']['seeds']: row['seed_test']['smallest'] for row in limited if row['seed_test']['paired']}
    limits = [f'{seeds} seeds cannot give a p below {_small(smallest)}' for seeds, smallest in sorted(paired.items())]
    limits += [
        f'those of {escaped(row["name"])}, which are not the seeds of the baseline, cannot give one below '
        f'{_small(row["seed_test"]["smallest"])}'
        for row in limited
        if not row['seed_test']['paired']
    ]
    if listed := '; '.join(limits):
        text += f' {listed[0].upper()}{listed[1:]}.'
    if any(row['seed_test']['paired'] for row in tested):
        text += ' Seeds ahead: in how many seeds the figure is above that of the baseline.'
    return text


def needed(rows: Sequence[dict]) -> str:
    """How many seeds would settle the differences whose interval contains 0; empty where none can be told."""
    open_ = [
        row for row in rows if row['seed_test'] and row['seed_test']['needed'] and contains_zero(row['difference'])
    ]
    more = [row for row in open_ if row['seed_test']['needed'] > row['seed_test']['seeds']]
    text = ''
    if more:
        numbers = ', '.join(f'{escaped(row["name"])} {_many(row["seed_test"]["needed"])}' for row in more)
        text = (
            f'Seeds that would settle a difference whose interval contains 0, if its mean and standard deviation over '
            f'seeds are as seen (paired t test at 5 %, power 80 %): {numbers}.'
        )
    if enough := [escaped(row['name']) for row in open_ if row not in more]:
        text += (
            f' Of {", ".join(enough)} the interval contains 0 although by its spread over seeds these would be '
            f'enough: more test images would help.'
        )
    return text.strip()


def _ways(drawn: Sequence[dict]) -> str:
    paired = [row['difference']['paired'] for row in drawn]
    if all(paired):
        return 'in pairs of the same seed'
    return 'in pairs where both have the same ones' if any(paired) else 'of each row alone'


def _ahead(test: dict | None) -> str:
    return f'{test["ahead"]} of {test["seeds"]}' if test and test['paired'] else ABSENT


def _p(test: dict | None) -> str:
    return _small(test['p']) if test else ABSENT


def _small(p: float) -> str:
    return f'< {SMALL}' if p < SMALL else f'{p:.3f}' if p < 0.1 else f'{p:.2f}'


def _many(seeds: int) -> str:
    return f'more than {MOST:,}' if seeds > MOST else str(seeds)
