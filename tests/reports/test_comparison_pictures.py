"""Pictures of many rows with long names: nothing overlaps, and nothing is outside."""

import itertools

import numpy as np
import pytest

from hsakd_mm.reports import comparison_pictures, pictures

NAMES = [
    'random',
    'plain, same cost',
    'HSAKD, light branches, no labels',
    *(f'method {number}' for number in range(13)),
]
TITLE = 'Faster R-CNN on vehicles, pretrained on 25 labelled images of each of 47 classes'


@pytest.fixture
def drawn(monkeypatch) -> list:
    """The figures that would have been saved, laid out."""
    figures: list = []
    monkeypatch.setattr(
        comparison_pictures,
        'save_figure',
        lambda figure, file: figures.append(figure) or figure.draw_without_rendering(),
    )
    return figures


def rows_of(names: list) -> list:
    """Rows whose figures are close to each other, as those of a bench are."""
    values = {name: [42 + number / 4, 43 + number / 4] for number, name in enumerate(names)}
    interval = dict(difference=1.0, low=-1.0, high=2.0, seeds=2)
    return [
        dict(name=name, AP=dict(values=of, mean=np.mean(of)), difference=None if name == NAMES[1] else interval)
        for name, of in values.items()
    ]


def curves_of(rows: list) -> dict:
    return {
        row['name']: [(epoch, row['AP']['mean'] * epoch / 8, *row['AP']['values']) for epoch in (4, 8)] for row in rows
    }


def extent(text):
    return text.get_window_extent()


def assert_in_place(figure, panels: int) -> None:
    """All text is in the figure, no heading is above its neighbour's panel, and no label of a line left its panel."""
    texts = [text for ax in figure.axes for text in (*ax.texts, ax._left_title)]
    boxes = [extent(text) for text in [*texts, figure._suptitle, *figure.axes[0].get_yticklabels()] if text.get_text()]
    assert all(figure.bbox.x0 - 1 <= box.x0 and box.x1 <= figure.bbox.x1 + 1 for box in boxes)
    assert all(figure.bbox.y0 - 1 <= box.y0 and box.y1 <= figure.bbox.y1 + 1 for box in boxes[: len(texts)])
    for first, second in itertools.pairwise(figure.axes):
        titles = [ax._left_title for ax in (first, second)]
        if all(title.get_text() for title in titles) and first.get_position().y0 == second.get_position().y0:
            assert extent(titles[0]).x1 <= second.bbox.x0
    assert len(figure.axes) == panels


def assert_named(ax, names: list) -> None:
    """Each line's name is beside the panel, and no two overlap."""
    named = sorted((extent(text) for text in ax.texts), key=lambda box: box.y0)
    assert len(named) == len(names)
    assert all(ax.bbox.y0 <= (box.y0 + box.y1) / 2 <= ax.bbox.y1 and box.x0 >= ax.bbox.x1 for box in named)
    assert all(low.y1 <= high.y0 + 1 for low, high in itertools.pairwise(named))


@pytest.mark.parametrize('count', [4, 7, 10, 16])
def test_many_rows_with_long_names(drawn, count) -> None:
    rows = rows_of(NAMES[:count])
    comparison_pictures.draw_overview(rows, curves_of(rows), 'AP', 'AP', 'report.png', TITLE, NAMES[1])
    comparison_pictures.draw_curves(curves_of(rows), 'AP', 'curves.png', 'Learning curves')
    overview, curves = drawn
    assert_in_place(overview, 3)
    assert_in_place(curves, 1)
    assert_named(overview.axes[-1], NAMES[:count])
    assert_named(curves.axes[0], NAMES[:count])


def test_long_names_of_classes(drawn) -> None:
    classes = [
        'pickup truck with a trailer',
        'bicycle-built-for-two',
        'school bus, yellow',
        'trolleybus and tram',
        'car',
    ]
    of_classes = {label: dict.fromkeys(NAMES[:10], 40.0) for label in [*classes, 'motor scooter with sidecar']}
    objects = dict.fromkeys(of_classes, 1234)
    comparison_pictures.draw_classes(of_classes, objects, NAMES[:10], 'classes.png', 'AP by class')
    assert_in_place(drawn[0], 10)


def test_a_line_is_told_from_another_of_its_colour(drawn) -> None:
    for count, pieces in ((7, 0), (10, 10)):
        comparison_pictures.draw_curves(curves_of(rows_of(NAMES[:count])), 'AP', 'curves.png', '')
        assert len(drawn[-1].axes[0].lines) == count + pieces


@pytest.mark.parametrize('count', [2, 10, 16, 40])
@pytest.mark.parametrize('place', [0.0, 0.5, 0.97])
def test_labels_stay_beside_their_panel(count, place) -> None:
    spread = pictures._spread([place + number / 1000 for number in range(count)], 0.085)
    assert spread[0] + 1e-9 >= 0 and spread[-1] <= 1 + 1e-9
    assert np.allclose(np.diff(spread), min(0.085, 1 / (count - 1)))


def test_only_the_start_without_pretraining_is_grey() -> None:
    names = ['random', 'HSAKD, random crops']
    assert list(pictures.colours_of(names).values()) == [pictures.GREY, pictures.PALETTE[0]]
    many = [f'random {number}' for number in range(7)]
    assert pictures.dashes_of(many)['random 6'] == '--'
