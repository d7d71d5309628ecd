"""The rows of a bench's table."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Row:
    """A line of the table: the runs of one name.

    Args:
        name (str): The runs' name.
        top1 (float): Mean over seeds of the last epoch's top-1, in percent.
        sigma (float | None): Standard deviation over seeds (n - 1); None of a single seed.
        best (float): Mean of the best epoch's, which was chosen by the data it is judged on.
        seeds (int): How many.
        parameters (int): Of the backbone that is handed on.
        trained_parameters (int): Of all that is trained: with branches, with a second network.
        cost (float | None): Seconds for a training image, relative to the baseline's.
        seconds_per_image (float): Of a training step, in the seed where it was fastest.
        wall_seconds (float): Mean duration of a run, validation included.
    """

    name: str
    top1: float
    sigma: float | None
    best: float
    seeds: int
    parameters: int
    trained_parameters: int
    cost: float | None
    seconds_per_image: float
    wall_seconds: float


def summarise(results: Sequence[dict], baseline: str) -> list[Row]:
    """The rows of the table, in order of the runs."""
    grouped = by_name(results)
    cost_of = {name: min(result['seconds_per_image'] for result in of_name) for name, of_name in grouped.items()}
    return [_row(name, of_name, cost_of.get(baseline), cost_of[name]) for name, of_name in grouped.items()]


def by_name(results: Sequence[dict]) -> dict[str, list[dict]]:
    """The results of each name that the table and the picture show."""
    grouped: dict = {}
    for result in results:
        if result['row']:
            grouped.setdefault(result['name'], []).append(result)
    return grouped


def _row(name: str, results: list, baseline: float | None, cost: float) -> Row:
    top1 = [result['top1'] for result in results]
    return Row(
        name=name,
        top1=statistics.mean(top1),
        sigma=statistics.stdev(top1) if len(top1) > 1 else None,
        best=statistics.mean(result['best_top1'] for result in results),
        seeds=len(results),
        parameters=results[0]['parameters'],
        trained_parameters=results[0]['trained_parameters'],
        cost=cost / baseline if baseline else None,
        seconds_per_image=cost,
        wall_seconds=statistics.mean(result['wall_seconds'] for result in results),
    )
