"""What the pretrainings of a comparison cost: of each row beside the baseline's, and that of its teachers apart."""

import statistics
from collections.abc import Iterable, Sequence

from .origins import ABSENT

HEADS = ('Cost (×)', 'Teacher (×)')
KEYS = ('macs', 'seconds', 'teachers_macs', 'teachers_seconds')
NOTE = (
    'Cost: multiply-adds of the pretraining, relative to those of {baseline}. Teacher: those of the training of its '
    'teachers, which is done once for all seeds and is not in the cost, relative to the same. report.json has both as '
    'numbers, and in seconds. '
)


def mean_cost(runs: Sequence[dict]) -> dict | None:
    """The mean cost of the pretrainings that the runs of a name start from, each of which counts once.

    Args:
        runs (list[dict]): ``checkpoint_sha256``, and perhaps ``cost``: a dict with :data:`KEYS`.

    Returns:
        dict | None: :data:`KEYS`, each None where it is not known; None where nothing is.
    """
    costs = {run['checkpoint_sha256']: run['cost'] for run in runs if run.get('checkpoint_sha256') and run.get('cost')}
    return {key: _mean(cost.get(key) for cost in costs.values()) for key in KEYS} if costs else None


def relate(rows: Sequence[dict], baseline: str) -> None:
    """Add ``relative_macs`` and ``relative_teachers_macs`` to the cost of each row: relative to the baseline's macs."""
    reference = next((row['cost']['macs'] for row in rows if row['name'] == baseline and row['cost']), None)
    for cost in (row['cost'] for row in rows if row['cost']):
        for key in ('macs', 'teachers_macs'):
            cost[f'relative_{key}'] = cost[key] / reference if reference and cost[key] is not None else None


def has_costs(rows: Sequence[dict]) -> bool:
    """Whether there is something to show; reports of before have no costs."""
    return any((row.get('cost') or {}).get('relative_macs') for row in rows)


def cells(row: dict) -> list[str]:
    """Those of a row under :data:`HEADS`."""
    cost = row.get('cost') or {}
    values = [cost.get('relative_macs'), cost.get('relative_teachers_macs')]
    return [ABSENT if value is None else f'{value:,.2f}' for value in values]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None
