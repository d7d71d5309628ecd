"""The picture of a bench: every run's top-1 with the mean over seeds, and the learning curves."""

import statistics
from collections.abc import Sequence

from .pictures import INK, MUTED, colours_of, dashes_of, draw_grid_lines, draw_seeds, new_figure, save_figure

MARKS = {'-': 'o', '--': 's', ':': '^', '-.': 'D'}  # of a curve's line


def draw(grouped: dict, title: str, file: str) -> None:
    """Draw a point for each seed with a bar at the mean (left), and the mean learning curves (right).

    The curves are those of :func:`curves_of`, where there are any; the legend follows their last values.

    Args:
        grouped (dict[str, list[dict]]): For each name its runs' ``top1`` and ``curve``, in percent.
        title (str): Heading.
        file (str): Ending in ``.png``.
    """
    colours = colours_of(grouped)
    curves = curves_of(grouped)
    height = 1.6 + 0.42 * max(6, len(grouped))
    if not curves:
        figure, (left,) = new_figure(8, height, title, panels=1)
    else:
        figure, (left, right) = new_figure(11, height, title, panels=2, widths=(1, 1.15))
        _draw_curves(right, curves, colours, dashes_of(grouped), whole=len(curves) == len(grouped))
    for place, (name, runs) in enumerate(grouped.items()):
        draw_seeds(left, place, [run['top1'] for run in runs], colours[name])
    left.set_yticks(range(len(grouped)), grouped, fontsize=10, color=INK)
    left.set_ylim(len(grouped) - 0.5, -0.5)
    left.margins(x=0.16)
    left.set_title('Top-1 (%): each seed, mean', loc='left', fontsize=10, color=INK)
    draw_grid_lines(left, 'x')
    save_figure(figure, file)


def curves_of(grouped: dict) -> dict[str, list]:
    """Mean learning curves of the names that are trained for as many epochs as most are; none if under half are."""
    curves = {name: mean_curve([run['curve'] for run in runs]) for name, runs in grouped.items()}
    length = statistics.mode(curve[-1][0] for curve in curves.values())
    alike = {name: curve for name, curve in curves.items() if curve[-1][0] == length}
    return alike if 2 * len(alike) >= len(curves) else {}


def _draw_curves(right, curves: dict, colours: dict, dashes: dict, whole: bool) -> None:
    """Draw the curves; unless they are the ``whole``, the heading says of which length they are."""
    for name, curve in curves.items():
        right.plot(*zip(*curve), dashes[name], color=colours[name], linewidth=1.8, label=name)
    length = next(iter(curves.values()))[-1][0]
    which = '' if whole else f', of those with {length} epochs'
    right.set_title(f'Top-1 (%) by epoch, mean over seeds{which}', loc='left', fontsize=10, color=INK)
    right.set_xlabel('Epoch', fontsize=9, color=MUTED)
    right.xaxis.get_major_locator().set_params(integer=True)
    handles, names = right.get_legend_handles_labels()
    order = sorted(range(len(names)), key=lambda index: -curves[names[index]][-1][1])
    right.legend(
        [handles[index] for index in order],
        [names[index] for index in order],
        frameon=False,
        fontsize=9,
        handlelength=3.2,
    )
    draw_grid_lines(right, 'y')


def draw_front(rows: Sequence, title: str, file: str) -> None:
    """Draw top-1 against the multiply-adds of a training, a curve for each method.

    A hollow mark further right is the same run with its teacher's training counted too.

    Args:
        rows (Sequence[Row]): Of :mod:`.methods`, with ``curve_of`` and ``macs``.
        title (str): Heading.
        file (str): Ending in ``.png``.
    """
    figure, (axes,) = new_figure(10, 5, title, panels=1)
    curves: dict = {}
    for row in rows:
        curves.setdefault(row.curve_of, []).append(row)
    colours, dashes = colours_of(curves), dashes_of(curves)
    for name, points in curves.items():
        points = sorted(points, key=lambda row: row.macs)
        mark = MARKS[dashes[name]]  # a curve may be one point, which has no line
        tera, top1 = [row.macs / 1e12 for row in points], [row.top1 for row in points]
        axes.errorbar(tera, top1, [row.sigma or 0 for row in points], color=colours[name], fmt='none', linewidth=1)
        axes.plot(tera, top1, dashes[name], color=colours[name], marker=mark, linewidth=1.8, label=name)
        taught = [row for row in points if row.teachers_macs]
        with_teacher = [(row.macs + row.teachers_macs) / 1e12 for row in taught]
        axes.plot(with_teacher, [row.top1 for row in taught], mark, color=colours[name], markerfacecolor='none')
    axes.set_xscale('log')
    axes.xaxis.set_major_formatter('{x:g}')
    axes.xaxis.set_minor_formatter('{x:g}')
    axes.tick_params('x', which='both', labelsize=8, labelcolor=MUTED)
    axes.set_xlabel(
        '10¹² multiply-adds of the training (log); hollow: with those of its teacher', fontsize=9, color=MUTED
    )
    axes.set_title('Top-1 (%): mean ± σ over seeds', loc='left', fontsize=10, color=INK)
    axes.legend(frameon=False, fontsize=9, handlelength=3.2, loc='upper left', bbox_to_anchor=(1.01, 1.0))
    draw_grid_lines(axes, 'y')
    save_figure(figure, file)


def mean_curve(curves: Sequence[list]) -> list:
    """``[(epoch, mean), ...]`` over the epochs that all curves have."""
    values = [dict(curve) for curve in curves]
    return [
        (epoch, statistics.mean(curve[epoch] for curve in values))
        for epoch in values[0]
        if all(epoch in curve for curve in values)
    ]
