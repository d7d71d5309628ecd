"""The report's pictures: AP bars, training curves, detections drawn on test scenes.

Colours are Okabe and Ito's, which stay apart for every kind of colour vision. A model has the same
colour in all pictures that name the models in the same order; ``random`` is grey.
"""

import io
import os
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from hsakd_mm.files import replace

PALETTE = ('#E69F00', '#0072B2', '#CC79A7', '#56B4E9', '#D55E00', '#000000')
GREY = '#8c8c8c'
TRUTH = '#009E73'
INK, MUTED = '#222222', '#666666'
METRICS = ('AP', 'AP50', 'AP75')


def plot_bars(rows: Sequence[dict], file: str, title: str = 'Detection after transfer') -> None:
    """AP, AP50 and AP75 of each row, in percent, with the numbers on the bars.

    Args:
        rows (list[dict]): ``name`` and the metrics, as in the report.
        file (str): Ending in ``.png`` or ``.svg``.
        title (str): Heading.
    """
    metrics = [key for key in METRICS if any(row.get(key) is not None for row in rows)]
    figure, (ax,) = new_figure(1.6 + 1.1 * len(rows) * len(metrics) ** 0.7, 3.6, title)
    colours = colours_of(row['name'] for row in rows)
    width = 0.8 / len(rows)
    for number, row in enumerate(rows):
        for place, key in enumerate(metrics):
            value = row.get(key)
            if value is None:
                continue
            x = place + (number - (len(rows) - 1) / 2) * width
            ax.bar(x, value, 0.92 * width, color=colours[row['name']])
            ax.annotate(
                f'{value:.1f}',
                (x, value),
                (0, 2),
                textcoords='offset points',
                ha='center',
                va='bottom',
                fontsize=9,
                color=INK,
            )
    ax.set_xticks(range(len(metrics)), metrics, fontsize=10)
    ax.tick_params(length=0)
    ax.set_yticks([])
    ax.spines['left'].set_visible(False)
    ax.margins(y=0.12)
    ax.set_title('percent', loc='left', fontsize=9, color=MUTED)
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in colours.values()]
    figure.legend(
        handles,
        colours,
        loc='outside lower center',
        ncols=len(rows),
        frameon=False,
        fontsize=10,
        handlelength=0.9,
        handleheight=0.9,
    )
    save_figure(figure, file)


def plot_curves(curves: dict, file: str, title: str = 'Training') -> None:
    """Training curves, one panel a measure, each line named at its end.

    Args:
        curves (dict): ``{'top-1 %': {'plain': [(epoch, value), ...], ...}, 'AP': {...}}``.
        file (str): Ending in ``.png`` or ``.svg``.
        title (str): Heading.
    """
    colours = colours_of(name for panel in curves.values() for name in panel)
    figure, axes = new_figure(4.8 * len(curves), 3.4, title, panels=len(curves))
    for ax, (measure, panel) in zip(axes, curves.items()):
        ends = []
        for name, points in panel.items():
            if not points:
                continue
            x, y = zip(*points)
            ax.plot(
                x,
                y,
                color=colours[name],
                linewidth=2,
                solid_capstyle='round',
                marker='o' if len(points) < 25 else None,
                markersize=3.5,
            )
            ends.append((y[-1], name))
        ax.set_title(measure, loc='left', fontsize=10, color=INK)
        ax.set_xlabel('epoch', fontsize=9, color=MUTED)
        ax.grid(axis='y', color='#e8e8e8', linewidth=0.8)
        ax.set_axisbelow(True)
        ax.spines['left'].set_visible(False)
        ax.tick_params(length=0, labelsize=9, labelcolor=MUTED)
        ax.xaxis.get_major_locator().set_params(integer=True)
        name_ends(ax, ends, colours)
    save_figure(figure, file)


def draw_detections(truth: dict, folder: str, found: dict, file: str, scenes: int = 4, **kwargs) -> None:
    """What is there and what each model found, in COCO's formats; see :func:`draw_grid`.

    Args:
        truth (dict): COCO annotations: ``images``, ``annotations``, ``categories``.
        folder (str): Where the images' files are.
        found (dict[str, list[dict]]): For each model COCO results, as mmdet's ``CocoMetric``
            writes them (``<outfile_prefix>.bbox.json``).
        file (str): Ending in ``.png`` or ``.svg``.
        scenes (int): Scenes to draw, spread evenly over the images.
        **kwargs: Passed to :func:`draw_grid`.
    """
    chosen = np.linspace(0, len(truth['images']) - 1, min(scenes, len(truth['images'])))
    infos = [truth['images'][int(index)] for index in chosen]
    categories = [category['id'] for category in truth['categories']]
    images = [np.asarray(Image.open(os.path.join(folder, info['file_name'])).convert('RGB')) for info in infos]
    draw_grid(
        images,
        [of_coco(truth['annotations'], info['id'], categories) for info in infos],
        {name: [of_coco(results, info['id'], categories) for info in infos] for name, results in found.items()},
        file,
        [category['name'] for category in truth['categories']],
        **kwargs,
    )


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
    """A row a scene: the ground truth, then each model's detections, side by side.

    A detection is drawn solid where it has the class of a ground-truth box that it covers with
    IoU of at least 0.5 and no better one has taken, and dashed where it has not.

    Args:
        images (list[ndarray]): ``uint8 [H, W, 3]``, RGB.
        truth (list[dict]): One a scene: ``boxes [N, 4]`` (x1, y1, x2, y2 in pixels) and
            ``labels [N]``.
        predictions (dict[str, list[dict]]): For each model one a scene: ``boxes``, ``labels`` and
            ``scores [N]``; :func:`of_coco` makes them.
        file (str): Ending in ``.png`` or ``.svg``.
        classes (Sequence[str]): Names of the labels; by default their numbers.
        threshold (float): Detections of a lower score are not drawn.
        title (str): Heading.
        colours (dict[str, str], optional): Of the models; by default as :func:`colours_of`.
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
    """The detections to draw, best first: ``[(box, label, score, whether right), ...]``."""
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


def of_coco(results: Sequence[dict], image_id: int, category_ids: Sequence[int]) -> dict:
    """``boxes``, ``labels`` and ``scores`` of one image, from COCO's results or annotations.

    Args:
        results (list[dict]): ``image_id``, ``category_id``, ``bbox`` (x, y, w, h), ``score``.
        image_id (int): The image's.
        category_ids (Sequence[int]): In the order of the labels.
    """
    found = [result for result in results if result['image_id'] == image_id]
    boxes = np.array([result['bbox'] for result in found], float).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return dict(
        boxes=boxes,
        labels=np.array([list(category_ids).index(result['category_id']) for result in found], int),
        scores=np.array([result.get('score', 1.0) for result in found], float),
    )


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


def name_ends(ax, ends: list, colours: dict) -> None:
    """Write each line's name and last value right of its end, spread where they would collide.

    Args:
        ax (Axes): Where the lines are.
        ends (list[tuple]): Of each line the last value and the name.
        colours (dict[str, str]): Of the names.
    """
    low, high = ax.get_ylim()
    ends = sorted(((value - low) / (high - low), value, name) for value, name in ends)
    for place, (_, value, name) in zip(_spread([end[0] for end in ends], 0.085), ends):
        ax.text(
            1.02, place, f'{name} {value:.1f}', fontsize=9, color=colours[name], va='center', transform=ax.transAxes
        )


def _spread(places: Sequence[float], gap: float) -> list:
    """Ascending places moved as little as it takes to stand ``gap`` apart: runs share a centre."""
    runs: list = []  # centre, members
    for place in places:
        centre, count = place, 1
        while runs and centre - runs[-1][0] < gap * (count + runs[-1][1]) / 2:
            other, members = runs.pop()
            centre = (centre * count + other * members) / (count + members)
            count += members
        runs.append((centre, count))
    return [centre + (number - (count - 1) / 2) * gap for centre, count in runs for number in range(count)]


def colours_of(names: Iterable[str]) -> dict:
    """A colour for each name, from its place; ``random`` is grey and takes none."""
    names = list(dict.fromkeys(names))
    trained = [name for name in names if 'random' not in name]
    return {name: PALETTE[trained.index(name) % len(PALETTE)] if name in trained else GREY for name in names}


def dashes_of(names: Iterable[str]) -> dict:
    """How each name's line is drawn: solid, and otherwise from where the colours begin again."""
    names = list(dict.fromkeys(names))
    trained = [name for name in names if 'random' not in name]
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


def new_figure(
    width: float, height: float, title: str, panels: int = 1, rows: int = 1, widths: Sequence[float] | None = None
) -> tuple:
    """A figure with a heading on the left, and its axes, row by row; sizes in inches."""
    figure = Figure((width, height), dpi=160, layout='constrained')
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=12, fontweight='bold', color=INK, x=0.01, ha='left')
    axes = figure.subplots(rows, panels, squeeze=False, width_ratios=widths).ravel()
    for ax in axes:
        ax.spines[['top', 'right']].set_visible(False)
        ax.spines['bottom'].set_color('#bbbbbb')
    return figure, axes


def save_figure(figure: Figure, file: str) -> None:
    """Write a figure whole or not at all; what shows photographs is a quarter as large as a .jpg."""
    content = io.BytesIO()
    figure.savefig(content, format=file.rpartition('.')[2])
    replace(file, lambda out: out.write(content.getvalue()))
