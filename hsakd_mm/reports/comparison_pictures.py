"""The pictures of a comparison: AP of every run, learning curves, precision and recall, AP by class."""

from collections.abc import Sequence

import numpy as np

from hsakd_mm.evaluation.average_precision import RECALLS

from .curves import have_shape
from .pictures import (
    HALO,
    INK,
    MUTED,
    beyond,
    colours_of,
    dashes_of,
    draw_grid_lines,
    draw_seeds,
    name_ends,
    new_figure,
    save_figure,
    set_title,
)

CLASSES_DRAWN = 20
PANEL, PANEL_OF_CLASS = 40, 26  # characters of a panel's heading in a line


def draw_overview(
    rows: Sequence[dict], curves: dict, measure: str, of_curves: str, file: str, title: str, baseline: str
) -> None:
    """Draw AP of each seed, the difference to the baseline, and the learning curves, side by side.

    Args:
        rows (list[dict]): ``name``, ``measure`` (``values`` of each seed and their ``mean``, in
            percent, or None) and ``difference`` (``difference``, ``low``, ``high`` and ``seeds`` of
            :class:`.bootstrap.Interval`, ``low`` None where there is no interval; None for the
            baseline), in the table's order.
        curves (dict[str, list]): For each name ``[(epoch, mean, lowest, highest), ...]``.
        measure (str): Key of what is shown, say ``AP``.
        of_curves (str): The same of the curves.
        file (str): Ending in ``.png``.
        title (str): Heading.
        baseline (str): The name that the others are compared with.
    """
    names = [row['name'] for row in rows]
    colours = colours_of(names)
    compared = any(row['difference'] for row in rows)
    drawn = {
        'values': 1.15,
        **({'difference': 1.0} if compared else {}),
        **({'curves': 1.25} if have_shape(curves) else {}),
    }
    width = 1.5 + 3.6 * len(drawn) + beyond(names) * (1 + ('curves' in drawn))
    height = 1.4 + 0.42 * max(4, len(rows))
    figure, axes = new_figure(width, height, title, panels=len(drawn), widths=list(drawn.values()))
    panels = dict(zip(drawn, axes))
    for place, row in enumerate(rows):
        if row[measure]:
            draw_seeds(panels['values'], place, row[measure]['values'], colours[row['name']])
        if compared:
            _interval(panels['difference'], place, row, measure, colours[row['name']], baseline)
    for part in ('values', 'difference'):
        if part in panels:
            panels[part].set_ylim(len(rows) - 0.5, -0.5)
            labels = names if part == 'values' else [''] * len(names)
            panels[part].set_yticks(range(len(names)), labels, fontsize=10)
            draw_grid_lines(panels[part], 'x')
    for text in panels['values'].get_yticklabels():
        text.set_color(INK)
    panels['values'].margins(x=0.2)
    set_title(panels['values'], f'{measure} (%): each seed, mean', PANEL)
    if compared:
        panels['difference'].axvline(0, color=MUTED, linewidth=1)
        panels['difference'].margins(x=0.12)
        seeds = [bool(row['difference'].get('seeds')) for row in rows if row['difference']]
        over = (
            'seeds and test images' if all(seeds) else 'test images, and seeds of some' if any(seeds) else 'test images'
        )
        interval = '95\N{NO-BREAK SPACE}%\N{NO-BREAK SPACE}interval'
        set_title(panels['difference'], f'Difference to {baseline}, {interval} over {over}', PANEL)
    if 'curves' in panels:
        _curves(panels['curves'], curves, of_curves)
    save_figure(figure, file)


def draw_curves(curves: dict, measure: str, file: str, title: str) -> None:
    """Draw the learning curves alone, larger. Arguments as for :func:`draw_overview`."""
    figure, (ax,) = new_figure(8.5 + beyond(curves), max(3.6, 1.2 + 0.36 * len(curves)), title)
    _curves(ax, curves, measure)
    save_figure(figure, file)


def draw_precision_recall(precision: dict, names: Sequence[str], file: str, title: str) -> None:
    """Draw a panel for each IoU threshold, with the mean over classes and seeds of each name.

    Args:
        precision (dict[float, dict[str, ndarray]]): ``{0.5: {'plain': [101], ...}, 0.75: ...}``,
            in 0..1.
        names (Sequence[str]): All names of the report, for their colours.
        file (str): Ending in ``.png``.
        title (str): Heading.
    """
    figure, axes = new_figure(5 * len(precision), 4, title, panels=len(precision))
    colours, dashes = colours_of(names), dashes_of(names)
    for ax, (iou, lines) in zip(axes, precision.items()):
        for name, values in lines.items():
            ax.plot(100 * RECALLS, 100 * values, dashes[name], color=colours[name], linewidth=1.8, label=name)
        set_title(ax, f'Precision (%) over recall (%), IoU {iou:g}', PANEL)
        ax.set_xlim(0, 100)
        ax.set_ylim(0, 102)
        draw_grid_lines(ax, 'y')
    figure.legend(*axes[0].get_legend_handles_labels(), loc='outside right center', frameon=False, fontsize=9.5)
    save_figure(figure, file)


def draw_classes(per_class: dict, objects: dict, names: Sequence[str], file: str, title: str) -> None:
    """Draw a panel for each class with a bar for each name; only the most frequent of many classes.

    Args:
        per_class (dict[str, dict[str, float | None]]): For each class each name's AP in percent.
        objects (dict[str, int]): Number of objects of each class.
        names (Sequence[str]): All names of the report, for their colours.
        file (str): Ending in ``.png``.
        title (str): Heading.
    """
    classes = sorted(per_class, key=lambda name: -objects[name])[:CLASSES_DRAWN]
    if len(classes) < len(per_class):
        title += f' ({CLASSES_DRAWN} most frequent classes of {len(per_class)})'
    colours = colours_of(names)
    names = list(per_class[classes[0]])
    across = min(5, len(classes))
    down = -(-len(classes) // across)
    width, height = 1.5 + 2.1 * across + beyond(names), 0.7 + down * (0.5 + 0.24 * len(names))
    figure, axes = new_figure(width, height, title, across, down)
    top = (
        max((value for values in per_class.values() for value in values.values() if value is not None), default=1) or 1
    )
    for number, ax in enumerate(axes):
        if number >= len(classes):
            ax.set_axis_off()
            continue
        for place, (name, value) in enumerate(per_class[classes[number]].items()):
            if value is not None:
                ax.barh(place, value, 0.74, color=colours[name])
                ax.annotate(
                    f'{value:.1f}',
                    (value, place),
                    (3, 0),
                    textcoords='offset points',
                    va='center',
                    fontsize=8,
                    color=INK,
                )
        set_title(ax, f'{classes[number]} ({objects[classes[number]]})', PANEL_OF_CLASS, 9.5)
        ax.set_xlim(0, 1.28 * top)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_yticks(range(len(names)), names if number % across == 0 else [''] * len(names), fontsize=8.5)
        ax.set_xticks([])
        ax.tick_params(length=0)
        ax.spines[['left', 'bottom']].set_visible(False)
    figure.supxlabel('AP (%); in brackets the number of objects', fontsize=8.5, color=MUTED)
    save_figure(figure, file)


def _interval(ax, place: int, row: dict, measure: str, colour: str, baseline: str) -> None:
    found = row['difference']
    if not found:
        ax.annotate(
            'baseline' if row['name'] == baseline else 'not compared' if row[measure] else 'no figures',
            (0, place),
            (6, 0),
            textcoords='offset points',
            va='center',
            fontsize=9,
            color=MUTED,
        )
        return
    if found['low'] is not None:
        ax.plot([found['low'], found['high']], [place, place], color=colour, linewidth=2.4, solid_capstyle='butt')
    ax.plot(found['difference'], place, 'o', color=colour, markersize=6.5, markeredgecolor='white')
    ax.annotate(
        f'{found["difference"]:+.1f}'.replace('-', '−'),
        (found['difference'], place),
        (0, 6),
        textcoords='offset points',
        ha='center',
        fontsize=9,
        color=INK,
        path_effects=HALO,
    )


def _curves(ax, curves: dict, measure: str) -> None:
    colours, dashes = colours_of(curves), dashes_of(curves)
    ends = []
    for name, points in curves.items():
        if not points:
            continue
        epochs, means, lows, highs = np.array(points, float).T
        ax.plot(
            epochs,
            means,
            dashes[name],
            color=colours[name],
            linewidth=1.8,
            marker='o' if len(points) < 25 else None,
            markersize=3,
        )
        ax.fill_between(epochs, lows, highs, color=colours[name], alpha=0.13, linewidth=0)
        ends.append((means[-1], name))
    set_title(ax, f'{measure} (%) by epoch: mean, lowest and highest seed', PANEL)
    ax.set_xlabel('Epoch', fontsize=9, color=MUTED)
    ax.xaxis.get_major_locator().set_params(integer=True)
    draw_grid_lines(ax, 'y')
    name_ends(ax, ends, colours, dashes)
