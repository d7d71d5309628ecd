"""What all pictures of a report share: figures, colours, labels; and detections drawn on test images.

The colours are those of Okabe and Ito, which differ for every kind of colour vision. A model has the same colour in
all pictures that name the models in the same order; ``random`` is grey.
"""

import io
import statistics
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from hsakd_mm.checkpoints.source import RANDOM
from hsakd_mm.files import write_atomically

PALETTE = ('#E69F00', '#0072B2', '#CC79A7', '#56B4E9', '#D55E00', '#000000')
GREY = '#8c8c8c'
TRUTH = '#009E73'
INK, MUTED = '#222222', '#666666'
HALO = [withStroke(linewidth=2.5, foreground='white')]  # keeps a number legible on a line
LINE = 0.2  # inches from one label to the next
CHARACTER = 0.07  # inches of one in a label of 10 points
USUAL_NAME = 16  # characters of a name that a figure has room for anyway


def draw_grid(
    images: Sequence[np.ndarray],
    truth: Sequence[dict],
    predictions: dict,
    file: str,
    classes: Sequence[str] = (),
    threshold: float = 0.3,
    title: str = 'Detections on test scenes',
    colours: dict | None = None,
) -> None:
    """Draw one row per image: the ground truth, then each model's detections, side by side.

    A detection is solid where it has the class of a ground-truth box, an IoU of at least 0.5 with it, and no detection
    with a higher score has taken that box; else it is dashed.

    Args:
        images (list[ndarray]): ``uint8 [H, W, 3]``, RGB.
        truth (list[dict]): One per image: ``boxes [N, 4]`` (x1, y1, x2, y2 in pixels) and ``labels [N]``.
        predictions (dict[str, list[dict]]): For each model one per image: ``boxes``, ``labels`` and ``scores [N]``, as
            :func:`~hsakd_mm.evaluation.detection_records.of_image` returns them.
        file (str): The picture, by its ending a PNG, JPEG or SVG.
        classes (Sequence[str]): Names of the labels. Default: their numbers.
        threshold (float): Detections with a lower score are not drawn.
        title (str): Heading.
        colours (dict[str, str], optional): Of the models. Default: :func:`colours_of`.
    """
    colours = colours or colours_of(predictions)
    colours = {'ground truth': TRUTH, **{name: colours[name] for name in predictions}}
    width = len(colours)
    figure, axes = new_figure(2.3 * width, 2.3 * len(images) + 0.6, title, width, len(images))
    for row, image in enumerate(images):
        for column, (name, colour) in enumerate(colours.items()):
            ax = axes[row * width + column]
            ax.imshow(image, interpolation='nearest')
            ax.set_axis_off()
            if row == 0:
                ax.set_title(name, fontsize=10, color=INK)
            if column == 0:
                boxes = [
                    (box, _name(classes, label), True)
                    for box, label in zip(_array(truth[row], 'boxes'), _array(truth[row], 'labels'))
                ]
            else:
                boxes = [
                    (box, f'{_name(classes, label)} {score:.2f}', right)
                    for box, label, score, right in matched(predictions[name][row], truth[row], threshold)
                ]
            for box, text, right in boxes:
                _draw_box(ax, box, text, colour, right)
    figure.text(
        0.5,
        0.004,
        f'solid: right class, IoU ≥ 0.5; dashed: not; scores ≥ {threshold}',
        ha='center',
        va='bottom',
        fontsize=8.5,
        color=MUTED,
    )
    foot = 0.2 / figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, foot, 1, 1 - foot))
    save_figure(figure, file)


def matched(prediction: dict, truth: dict, threshold: float = 0.3) -> list:
    """The detections to draw, by descending score: ``[(box, label, score, whether correct), ...]``."""
    boxes, labels, scores = (_array(prediction, key) for key in ('boxes', 'labels', 'scores'))
    real, real_labels = _array(truth, 'boxes'), _array(truth, 'labels')
    taken: set = set()
    drawn = []
    for index in np.argsort(-scores, kind='stable'):
        if scores[index] < threshold:
            break
        overlaps = [
            _iou(boxes[index], box) if label == labels[index] and number not in taken else 0.0
            for number, (box, label) in enumerate(zip(real, real_labels))
        ]
        best = int(np.argmax(overlaps)) if overlaps else -1
        right = best >= 0 and overlaps[best] >= 0.5
        if right:
            taken.add(best)
        drawn.append((boxes[index], labels[index], float(scores[index]), right))
    return drawn


def _draw_box(ax, box, text: str, colour: str, right: bool = True) -> None:
    x1, y1, x2, y2 = (float(value) for value in box)
    ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor='white', linewidth=2.2))
    ax.add_patch(
        Rectangle(
            (x1, y1),
            x2 - x1,
            y2 - y1,
            fill=False,
            edgecolor=colour,
            linewidth=1.2,
            linestyle='-' if right else (0, (2.5, 1.5)),
        )
    )
    top = 0.04 * ax.get_ylim()[0]  # where a label above the box would leave the image
    ax.text(
        x1,
        max(y1, 0),
        text,
        fontsize=6.5,
        color='white',
        va='bottom' if y1 > top else 'top',
        ha='left',
        clip_on=True,
        bbox=dict(facecolor=colour, edgecolor='none', pad=0.8),
    )


def name_ends(ax, ends: list, colours: dict, dashes: dict) -> None:
    """Write the name and last value of each line to the right of its end, spread where they would overlap.

    Where colours repeat, a piece of the line is drawn before its name.

    Args:
        ax (Axes): Where the lines are.
        ends (list[tuple]): Of each line the last value and the name.
        colours, dashes (dict[str, str]): Of the names.
    """
    low, high = ax.get_ylim()
    ends = sorted(((value - low) / (high - low), value, name) for value, name in ends)
    height = ax.get_position().height * ax.figure.get_figheight()
    repeats = any(dashes[name] != '-' for *_, name in ends)
    for place, (_, value, name) in zip(_spread([end[0] for end in ends], LINE / height), ends):
        if repeats:
            piece = dict(color=colours[name], linewidth=1.8, transform=ax.transAxes, clip_on=False)
            ax.plot([1.02, 1.09], [place, place], dashes[name], scalex=False, scaley=False, **piece)
        text = f'{name} {value:.1f}'
        left = 1.11 if repeats else 1.02
        ax.text(left, place, text, fontsize=9, color=colours[name], va='center', transform=ax.transAxes)


def _spread(places: Sequence[float], gap: float) -> list:
    """Move ascending places of 0..1 as little as possible until they are ``gap`` apart, or as far as there is room.

    Those that touch share a centre, as long as all of them stay in 0..1.
    """
    gap = min(gap, 1 / max(1, len(places) - 1))
    runs: list = []  # centre, members
    for place in places:
        centre, count = _inside(place, 1, gap), 1
        while runs and centre - runs[-1][0] < gap * (count + runs[-1][1]) / 2:
            other, members = runs.pop()
            centre = _inside((centre * count + other * members) / (count + members), count + members, gap)
            count += members
        runs.append((centre, count))
    return [centre + (number - (count - 1) / 2) * gap for centre, count in runs for number in range(count)]


def _inside(centre: float, count: int, gap: float) -> float:
    """The centre of ``count`` places, moved so that all of them are in 0..1."""
    half = (count - 1) / 2 * gap
    return min(max(centre, half), 1 - half)


def colours_of(names: Iterable[str]) -> dict:
    """A colour for each name by its position; ``random`` is grey and uses none of the palette."""
    names = list(dict.fromkeys(names))
    trained = [name for name in names if name != RANDOM]
    return {name: PALETTE[trained.index(name) % len(PALETTE)] if name in trained else GREY for name in names}


def dashes_of(names: Iterable[str]) -> dict:
    """A line style for each name: solid, and another where the colours repeat."""
    names = list(dict.fromkeys(names))
    trained = [name for name in names if name != RANDOM]
    return {
        name: ('-', '--', ':', '-.')[trained.index(name) // len(PALETTE) % 4] if name in trained else '-'
        for name in names
    }


def _iou(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return float(width * height / (sum(areas) - width * height))


def _array(values: dict, key: str) -> np.ndarray:
    array = np.asarray(values[key], float if key != 'labels' else int)
    return array.reshape(-1, 4) if key == 'boxes' else array


def _name(classes: Sequence[str], label: int) -> str:
    return classes[label] if len(classes) else str(label)


def draw_seeds(ax, place: int, values: Sequence[float], colour: str) -> None:
    """Draw a point for each seed in a row of the picture, and a bar at their mean with its value."""
    mean = statistics.mean(values)
    ax.plot(mean, place, '|', color=colour, markersize=19, markeredgewidth=3)
    ax.scatter(values, [place] * len(values), s=34, color=colour, edgecolor='white', zorder=3)
    ax.annotate(
        f'{mean:.1f}',
        (max(values), place),
        (9, 0),
        textcoords='offset points',
        va='center',
        fontsize=9,
        color=INK,
        path_effects=HALO,
    )


def beyond(names: Iterable[str]) -> float:
    """The inches that the longest of these names takes beyond those that every figure has room for."""
    return CHARACTER * max(0, max(map(len, names), default=0) - USUAL_NAME)


def set_title(ax, text: str, characters: int, fontsize: float = 10) -> None:
    """Write the heading of a panel on the left, in lines of so many characters at most."""
    ax.set_title(textwrap.fill(text, characters), loc='left', fontsize=fontsize, color=INK)


def draw_grid_lines(ax, axis: str) -> None:
    """Draw grid lines across one axis, and remove the ticks and the left frame."""
    ax.spines['left'].set_visible(False)
    ax.grid(axis=axis, color='#e8e8e8', linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(length=0, labelsize=9, labelcolor=MUTED)


def new_figure(
    width: float, height: float, title: str, panels: int = 1, rows: int = 1, widths: Sequence[float] | None = None
) -> tuple:
    """A figure with a heading on the left, and its axes row by row. Sizes are in inches."""
    figure = Figure((width, height), dpi=160, layout='constrained')
    FigureCanvasAgg(figure)
    figure.suptitle(
        textwrap.fill(title, max(20, int(10 * width))), fontsize=12, fontweight='bold', color=INK, x=0.01, ha='left'
    )
    axes = figure.subplots(rows, panels, squeeze=False, width_ratios=widths).ravel()
    for ax in axes:
        ax.spines[['top', 'right']].set_visible(False)
        ax.spines['bottom'].set_color('#bbbbbb')
    return figure, axes


def save_figure(figure: Figure, file: str) -> None:
    """Write a figure, completely or not at all. With photographs a .jpg takes a quarter of a .png's size."""
    content = io.BytesIO()
    figure.savefig(content, format=file.rpartition('.')[2])
    write_atomically(file, lambda out: out.write(content.getvalue()))
