"""The picture of a bench: every run's top-1 with the mean over seeds, and the learning curves."""

import io
import statistics
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hsakd_mm.files import replace
from hsakd_mm.reports.pictures import INK, MUTED, colours_of, dashes_of


def draw(grouped: dict, title: str, file: str) -> None:
    """Left a point for each seed and a bar at their mean; right the mean course of each name that
    is trained as long as most are, the legend in the order of its last values.

    Args:
        grouped (dict[str, list[dict]]): For each name its runs' ``top1`` and ``curve``, in percent.
        title (str): Heading.
        file (str): Ending in ``.png``.
    """
    figure = Figure((11, 1.6 + 0.42 * max(6, len(grouped))), dpi=160, layout='constrained')
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=12, fontweight='bold', color=INK, x=0.01, ha='left')
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    colours, dashes = colours_of(grouped), dashes_of(grouped)
    curves = {name: mean_curve([run['curve'] for run in runs]) for name, runs in grouped.items()}
    length = statistics.mode(curve[-1][0] for curve in curves.values())
    for place, (name, runs) in enumerate(grouped.items()):
        _points(left, place, [run['top1'] for run in runs], colours[name])
        if curves[name][-1][0] == length:
            right.plot(*zip(*curves[name]), dashes[name], color=colours[name], linewidth=1.8, label=name)
    left.set_yticks(range(len(grouped)), grouped, fontsize=10, color=INK)
    left.set_ylim(len(grouped) - 0.5, -0.5)
    left.margins(x=0.16)
    left.set_title('top-1 %, last epoch: each seed, mean', loc='left', fontsize=10, color=INK)
    right.set_title('top-1 % by epoch, mean over seeds', loc='left', fontsize=10, color=INK)
    right.set_xlabel('epoch', fontsize=9, color=MUTED)
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
    for ax, axis in ((left, 'x'), (right, 'y')):
        ax.spines[['top', 'right', 'left']].set_visible(False)
        ax.spines['bottom'].set_color('#bbbbbb')
        ax.grid(axis=axis, color='#e8e8e8', linewidth=0.8)
        ax.set_axisbelow(True)
        ax.tick_params(length=0, labelcolor=MUTED, labelsize=9)
    content = io.BytesIO()
    figure.savefig(content, format='png')
    replace(file, lambda out: out.write(content.getvalue()))


def mean_curve(curves: Sequence[list]) -> list:
    """``[(epoch, mean), ...]`` over the epochs that all curves have."""
    values = [dict(curve) for curve in curves]
    return [
        (epoch, statistics.mean(curve[epoch] for curve in values))
        for epoch in values[0]
        if all(epoch in curve for curve in values)
    ]


def _points(ax, place: int, values: list, colour: str) -> None:
    mean = statistics.mean(values)
    ax.plot([mean, mean], [place - 0.3, place + 0.3], color=colour, linewidth=3, solid_capstyle='butt')
    ax.scatter(values, [place] * len(values), s=34, color=colour, edgecolor='white', zorder=3)
    ax.annotate(
        f'{mean:.1f}', (max(values), place), (9, 0), textcoords='offset points', va='center', fontsize=9, color=INK
    )
