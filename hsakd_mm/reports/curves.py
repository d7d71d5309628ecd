"""The learning curves of detectors, from the logs of their runs."""

import statistics

import numpy as np

from hsakd_mm.engine.scalars import read_curve

from .metrics import METRICS

ROUNDING = 0.0501  # percent: mmdet logs three decimals of parts of 1


def read_curves(grouped: dict[str, list[dict]], measure: str) -> tuple[str, dict[str, list]]:
    """The curves of ``measure``, or those of AP50 where no run logged it (VOC's metric).

    Args:
        grouped (dict[str, list[dict]]): Each name's runs: ``folder``, and the final figures in percent.
        measure (str): Say ``AP``.

    Returns:
        tuple: The metric, and for each name ``[(epoch, mean, lowest, highest), ...]`` over its seeds, in percent;
        empty where a run has no log.
    """
    for metric in dict.fromkeys((measure, 'AP50')):
        curves = {name: _curve(rows, metric) for name, rows in grouped.items()}
        if any(curves.values()):
            return metric, curves
    return measure, {name: [] for name in grouped}


def _curve(rows: list[dict], metric: str) -> list:
    logged = [curve for row in rows for key in METRICS[metric] if (curve := read_curve(row['folder'], key))]
    curves = [{epoch: value for epoch, value in curve if value >= 0} for curve in logged]  # -1: nothing to find
    if not curves or len(curves) < len(rows):
        return []
    epochs = [epoch for epoch in curves[0] if all(epoch in curve for curve in curves)]
    points = [(epoch, [100 * curve[epoch] for curve in curves]) for epoch in epochs]
    ends = [row[metric] for row in rows if row.get(metric) is not None]
    if points and len(ends) == len(rows) and np.allclose(points[-1][1], ends, 0, ROUNDING):
        points[-1] = (points[-1][0], ends)  # the table's figures, which are not rounded
    return [(epoch, statistics.mean(values), min(values), max(values)) for epoch, values in points]


def have_shape(curves: dict[str, list]) -> bool:
    """Whether there is a curve to draw: one validation, at the end, is a point."""
    return any(len(points) > 1 for points in curves.values())
