"""AP of a record is pycocotools' AP, also for images that count several times."""

import contextlib
import io
import subprocess
import sys

import numpy as np
import pytest

from hsakd_mm.evaluation.average_precision import Matches, summarise
from tests.conftest import REPO
from tests.evaluation.blurred import blurred_record, vehicles

pytest.importorskip('pycocotools')


def coco_eval(record: dict, times=None):
    """pycocotools' COCOeval of a record in which image number i is written ``times[i]`` times."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    times = np.ones(len(record['images']), int) if times is None else times
    copies = [
        (image, 1000 * copy + number)
        for number, (image, count) in enumerate(zip(record['images'], times))
        for copy in range(count)
    ]
    content = dict(
        images=[],
        annotations=[],
        categories=[dict(id=label, name=name) for label, name in enumerate(record['classes'])],
    )
    results = []
    for image, id_ in copies:
        content['images'].append(dict(image, id=id_))
        for box in record['truth']:
            if box['image'] == image['id']:
                content['annotations'].append(
                    dict(
                        id=len(content['annotations']) + 1,
                        image_id=id_,
                        category_id=box['label'],
                        bbox=box['bbox'],
                        area=box['bbox'][2] * box['bbox'][3],
                        iscrowd=int(box['ignore']),
                    )
                )
        results += [
            dict(image_id=id_, category_id=box['label'], bbox=box['bbox'], score=box['score'])
            for box in record['found']
            if box['image'] == image['id']
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = content
        truth.createIndex()
        done = COCOeval(truth, truth.loadRes(results), 'bbox')
        done.evaluate()
        done.accumulate()
        done.summarize()
    return done


def assert_same(record: dict) -> None:
    theirs = coco_eval(record)
    ours = summarise(record)
    for key, value in zip(('AP', 'AP50', 'AP75', 'AP_S', 'AP_M', 'AP_L'), theirs.stats):
        assert (-100 if ours[key] is None else ours[key]) == pytest.approx(100 * value, abs=1e-11)
    precision = theirs.eval['precision'][:, :, :, 0, -1].transpose(2, 0, 1)
    np.testing.assert_array_equal(np.nan_to_num(Matches(record).precision(), nan=-1), precision)


@pytest.mark.parametrize('skill, crowds', [(0.3, 0), (0.7, 0.15), (1.0, 0)])
def test_digit_scenes(demo_data, skill, crowds) -> None:
    record = blurred_record(demo_data / 'scenes' / 'train.json', demo_data / 'scenes' / 'train', skill, crowds=crowds)
    assert_same(record)


def test_vehicles() -> None:
    folder = vehicles()
    assert_same(blurred_record(folder / 'test.json', folder / 'test', 0.6, crowds=0.1))


def test_more_boxes_of_a_class_than_count(demo_data) -> None:
    record = blurred_record(demo_data / 'scenes' / 'test.json', demo_data / 'scenes' / 'test')
    box = record['truth'][0]
    record['found'] += [
        dict(
            image=box['image'],
            label=box['label'],
            score=0.5 + number / 1000,
            bbox=[box['bbox'][0] + number, *box['bbox'][1:]],
        )
        for number in range(130)
    ]
    assert_same(record)


def test_an_image_that_counts_twice_is_two_images(demo_data) -> None:
    record = blurred_record(demo_data / 'scenes' / 'train.json', demo_data / 'scenes' / 'train', 0.7, crowds=0.1)
    draw = np.random.default_rng(0)
    for box in record['found']:  # equal scores in two images have no order that a weight could keep
        box['score'] += draw.uniform(0, 1e-6)
    images = len(record['images'])
    for _ in range(3):
        times = draw.multinomial(images, np.full(images, 1 / images))
        theirs = coco_eval(record, times).stats
        matches = Matches(record)
        assert matches.ap(times) == pytest.approx(theirs[0], abs=1e-12)
        assert matches.ap(times, iou=0.5) == pytest.approx(theirs[1], abs=1e-12)
        assert matches.ap(times, iou=0.75) == pytest.approx(theirs[2], abs=1e-12)


def test_nothing_to_find_and_nothing_found(demo_data) -> None:
    record = blurred_record(demo_data / 'scenes' / 'test.json', demo_data / 'scenes' / 'test')
    blind = summarise(dict(record, found=[]))
    assert (blind['AP'], blind['AP50'], blind['AP75']) == (0, 0, 0)
    assert set(blind.values()) <= {0, None}  # None: no object of that size
    assert set(summarise(dict(record, truth=[])).values()) == {None}
    assert np.isnan(Matches(dict(record, truth=[])).ap())
    absent = dict(record, classes=[*record['classes'], 'unicorn'])
    assert np.isnan(Matches(absent).per_class()[-1]).all()
    assert Matches(absent).ap() == pytest.approx(Matches(record).ap())


def test_evaluation_is_imported_without_pycocotools() -> None:
    code = (
        "import sys; sys.modules['pycocotools'] = None; import hsakd_mm.evaluation, hsakd_mm.evaluation.bootstrap, "
        'hsakd_mm.evaluation.average_precision'
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd=REPO)
