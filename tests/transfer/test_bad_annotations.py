"""What MMDetection or pycocotools would trip over in a COCO json is mended and said, or refused, before training."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from hsakd_mm.datasets.boxes import coco_json, coco_read
from hsakd_mm.datasets.boxes.checks import opencv_turns
from hsakd_mm.errors import UserError
from hsakd_mm.transfer import annotations as transfer_annotations
from hsakd_mm.transfer.data_files import check_data

from .tiny_detection import box, change, coco, detector, image, without, write_image

pytest.importorskip('mmdet.models', reason='mmdet is not installed')


def evaluated(cfg) -> dict:
    """What CocoMetric measures of a detector that finds all that CocoDataset loads."""
    from mmdet.registry import DATASETS, METRICS

    dataset = DATASETS.build(dict(cfg.val_dataloader.dataset, pipeline=[], type='mmdet.CocoDataset'))
    metric = METRICS.build(dict(cfg.val_evaluator, type='mmdet.CocoMetric'))
    metric.dataset_meta = dataset.metainfo
    for number in range(len(dataset)):
        info = dataset.get_data_info(number)
        found = [thing for thing in info['instances'] if not thing['ignore_flag']]
        prediction = dict(
            img_id=info['img_id'],
            bboxes=np.array([thing['bbox'] for thing in found], float).reshape(-1, 4),
            labels=np.array([thing['bbox_label'] for thing in found], int),
            scores=np.ones(len(found)),
        )
        metric.results.append((dict(width=80, height=40, img_id=info['img_id']), prediction))
    return metric.evaluate(size=len(dataset))


@pytest.mark.parametrize('part', ['train', 'val'])
@pytest.mark.parametrize(
    'edit, said',
    [
        (without(1, 'iscrowd'), 'annotations without iscrowd'),
        (box(1, iscrowd=None), 'annotations without iscrowd'),
        (box(1, iscrowd='0'), 'iscrowd as a text'),
        (without(1, 'area'), 'annotations without an area'),
        (box(1, area=0), 'annotations without an area'),
        (box(1, area=None), 'annotations without an area'),
        (box(1, id=0), 'annotation ids that are absent'),
        (box(1, id='b'), 'annotation ids that are absent'),
        (without(1, 'id'), 'annotation ids that are absent'),
        (box(1, ignore=1), 'annotations with ignore=1'),
    ],
)
def test_what_is_safe_is_mended_in_a_copy_and_said(tmp_path, part, edit, said) -> None:
    cfg = detector(tmp_path)
    change(tmp_path / f'{part}.json', edit)
    before = (tmp_path / f'{part}.json').read_bytes()
    first, second = check_data(cfg, mended_in=str(tmp_path / 'run'))
    assert f'{part}.json: {said}' in first and ': 1 (annotation' in first
    assert 'run/' in second and cfg[f'{part}_dataloader'].dataset.ann_file in second
    assert (tmp_path / f'{part}.json').read_bytes() == before
    if part == 'val':
        assert cfg.val_evaluator.ann_file == cfg.val_dataloader.dataset.ann_file
    assert evaluated(cfg)['coco/bbox_mAP'] == 1
    assert len(os.listdir(tmp_path / 'run')) == 1
    assert check_data(cfg, mended_in=str(tmp_path / 'run')) == []  # the copy has nothing to mend


def test_a_byte_order_mark_and_several_configs(tmp_path) -> None:
    cfg, other = detector(tmp_path), detector(tmp_path / 'other')
    other.merge_from_dict({key: cfg[key] for key in ('train_dataloader', 'val_dataloader', 'val_evaluator')})
    path = tmp_path / 'val.json'
    path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes())
    assert 'byte order mark' in check_data(cfg, other, mended_in=str(tmp_path / 'run'))[0]
    assert other.val_evaluator == cfg.val_evaluator and 'run' in other.val_dataloader.dataset.ann_file
    assert evaluated(other)['coco/bbox_mAP'] == 1


@pytest.mark.parametrize(
    'edit, said',
    [
        (box(1, id=3), 'duplicate id; first annotation 3'),
        (box(1, image_id=99), 'of an image that is not listed; first annotation 4, image_id 99'),
        (box(1, image_id='1'), 'of an image that is not listed'),
        (box(1, category_id=7), 'unknown category; first annotation 4, category_id 7'),
        (box(1, bbox=[4, 4, 20]), 'malformed annotation; first annotation 4, bbox'),
        (box(1, bbox=[4, 4, float('nan'), 9]), 'malformed annotation'),
        (box(1, bbox=['4', '4', '9', '9']), 'malformed annotation'),
        (box(1, iscrowd=2), 'malformed annotation; first annotation 4, iscrowd 2'),
        (box(1, bbox=[4, 4, 0, 9]), 'zero area'),
        (box(1, bbox=[24, 16, -20, -12]), 'zero area'),
        (box(1, bbox=[4, 4, 0.5, 9]), 'thinner than 1 pixel'),
        (box(1, bbox=[90, 4, 5, 9]), 'outside the image'),
        (box(1, bbox=[60, 4, 60, 9]), 'reaches far outside the image'),
        (without(1, 'bbox'), 'first number 2, where bbox is missing'),
        (image(1, id=1), 'duplicate image; first 2.jpg, id 1'),
        (image(1, file_name='1.jpg'), 'duplicate image'),
        (image(1, id='2'), 'malformed annotation'),
        (image(1, id=2**70), 'malformed annotation'),
        (image(1, width=40, height=80), 'size disagrees .*2.jpg: 40x80 is annotated, the image is loaded with 80x40'),
        (image(1, height=0), 'malformed annotation; first 2.jpg, 80 x 0'),
        (lambda content: content['images'][1].pop('width'), 'first number 2, where width is missing'),
        (lambda content: content['categories'][1].update(name='cat'), "one is 'cat' with id 2, which occurs twice"),
        (lambda content: content['categories'][1].update(id=1), "one is 'dog' with id 1, which occurs twice"),
        (lambda content: content.pop('annotations'), 'no list "annotations"'),
        (lambda content: content['annotations'].clear(), 'boxes to learn from were expected'),
    ],
)
def test_what_only_the_user_can_mend_is_refused(tmp_path, edit, said) -> None:
    cfg = detector(tmp_path)
    change(tmp_path / 'train.json', edit)
    with pytest.raises(UserError, match=said) as told:
        check_data(cfg, mended_in=str(tmp_path / 'run'))
    assert 'train.json' in str(told.value) and not (tmp_path / 'run').exists()


def test_the_first_three_places_are_named(tmp_path) -> None:
    cfg = detector(tmp_path)
    change(tmp_path / 'val.json', lambda content: [entry.update(image_id=99) for entry in content['annotations'][:4]])
    with pytest.raises(
        UserError, match='4 boxes .*annotation 23, .*; annotation 24, .*; annotation 25, .*; ...'
    ) as told:
        check_data(cfg)
    assert 'annotation 26' not in str(told.value)


@pytest.mark.parametrize(
    'part, boxes, said',
    [('val', 2000, 'counts them as missed'), ('val', 200, ''), ('train', 200, 'leaves out those'), ('train', 20, '')],
)
def test_a_few_thin_boxes_of_many_are_said_and_accepted(tmp_path, part, boxes, said) -> None:
    cfg = detector(tmp_path)

    def many(content: dict) -> None:
        first = content['annotations'][0]
        content['annotations'] += [
            dict(first, id=100 + number, bbox=[4, 4, 20, 12 + (number + 1) / 1000]) for number in range(boxes)
        ]
        content['annotations'][-1]['bbox'] = [4, 4, 0.5, 9]

    change(tmp_path / f'{part}.json', many)
    if said:
        (note,) = check_data(cfg)
        assert f'1 box (thinner than 1 pixel; first annotation {99 + boxes}' in note and said in note
        return
    with pytest.raises(UserError, match='1 box .thinner than 1 pixel'):
        check_data(cfg)


def cut(path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def recoded(kind: str, **options):
    def change_file(path) -> None:
        write_image(path, format=kind, **options)
        cut(path)

    return change_file


@pytest.mark.parametrize(
    'damage',
    [
        cut,
        recoded('PNG'),
        recoded('WEBP', lossless=True),
        recoded('BMP'),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: path.write_bytes(b''),
        lambda path: path.write_text('<html>404</html>'),
    ],
)
def test_images_that_do_not_decode(tmp_path, damage) -> None:
    cfg = detector(tmp_path)
    damage(tmp_path / 'val' / '12.jpg')
    with pytest.raises(UserError, match='1 image .unreadable image file; first .*12.jpg'):
        check_data(cfg)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'TIFF'])
def test_a_size_without_the_orientation_is_another_size(tmp_path, kind) -> None:
    cfg = detector(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    write_image(tmp_path / 'val' / '12.jpg', format=kind, exif=exif)
    if not opencv_turns(kind):  # WEBP, before OpenCV 5
        assert check_data(cfg) == []
        return
    with pytest.raises(UserError, match='12.jpg: 80x40 is annotated, the image is loaded with 40x80'):
        check_data(cfg)
    if kind != 'TIFF':  # which OpenCV turns nevertheless
        cfg.val_dataloader.dataset.pipeline[0].color_type = 'color_ignore_orientation'
        assert check_data(cfg) == []


def test_of_many_images_all_are_looked_for_and_a_sample_is_decoded(tmp_path, monkeypatch) -> None:
    cfg = detector(tmp_path)
    monkeypatch.setattr(transfer_annotations, 'CHECK_ALL_UP_TO', 2)
    monkeypatch.setattr(transfer_annotations, 'SAMPLE', 2)
    cut(tmp_path / 'val' / '12.jpg')  # in the middle
    assert check_data(cfg) == []
    (tmp_path / 'val' / '12.jpg').unlink()
    with pytest.raises(UserError, match='1 of the 3 images looked for in .*12.jpg'):
        check_data(cfg)


@pytest.mark.parametrize(
    'mask, is_one',
    [
        ([[4, 4, 20, 4, 20, 12]], True),
        (dict(size=[40, 80], counts=[100, 3100]), True),
        ([], False),
        ([[4, 4, 20, 12]], False),
        (None, False),
        (dict(size=[40, 80]), False),
    ],
)
def test_masks_where_they_are_needed(tmp_path, mask, is_one) -> None:
    cfg = detector(tmp_path)
    good = [[4, 4, 20, 4, 20, 12]]
    for part in ('train', 'val'):
        change(
            tmp_path / f'{part}.json',
            lambda content: [each.update(segmentation=good) for each in content['annotations']],
        )
    change(tmp_path / 'val.json', box(0, segmentation=mask))
    assert check_data(cfg) == []
    cfg.val_evaluator.metric = ['bbox', 'segm']
    if is_one:
        assert check_data(cfg) == []
        return
    with pytest.raises(UserError, match='1 box .without a mask; first annotation 23'):
        check_data(cfg)


@pytest.mark.parametrize(
    'names, said',
    [
        ('', 'no box of any class, so there is nothing to find and no AP'),
        ('c', 'no box of dog: the AP is the mean over the other classes'),
        ('d', 'no box of cat: the AP is the mean over the other classes'),
    ],
)
def test_nothing_to_find_is_said_before_training(tmp_path, names, said) -> None:
    cfg = detector(tmp_path)
    kept = ['cd'.index(name) + 1 for name in names]
    full = coco(first=11)
    boxes = [each for each in full['annotations'] if each['category_id'] in kept]
    (tmp_path / 'val.json').write_text(json.dumps(dict(full, annotations=boxes)))
    (note,) = check_data(cfg)
    assert said in note


def test_a_large_file_shows_progress_and_its_masks_are_not_parsed(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(coco_read, '_LARGE', 0)
    monkeypatch.setattr(coco_json, '_LOG_EVERY', -1)
    cfg = detector(tmp_path)
    masks = [[[4, 4, 20.5, 4, 20, 1.2e1]], dict(size=[40, 80], counts=[100, 3100]), dict(size=[40, 80], counts='0x"{')]
    change(
        tmp_path / 'val.json',
        lambda content: [box(number, segmentation=each)(content) for number, each in enumerate(masks)],
    )
    assert check_data(cfg) == []
    shown = capsys.readouterr().err
    assert 'val.json: 0 MB' in shown and 'checking boxes: 6/6, 0 s left' in shown
    for masked in (True, False):
        read = coco_read.read_coco(str(tmp_path / 'val.json'), masked).content['annotations']
        assert [each.get('segmentation') for each in read[:2]] == (masks[:2] if masked else [None, None])
        assert read[2]['bbox'] == [4, 4, 20, 12]


def test_a_crowd_is_nothing_to_find(tmp_path) -> None:
    cfg = detector(tmp_path)
    change(tmp_path / 'val.json', lambda content: [each.update(iscrowd=1) for each in content['annotations']])
    assert 'no box of any class' in check_data(cfg)[0]


@pytest.mark.parametrize('part, effect', [('val', 'counts them as missed'), ('train', 'count once more in training')])
def test_a_box_that_is_there_twice_is_said(tmp_path, part, effect) -> None:
    cfg = detector(tmp_path)
    change(
        tmp_path / f'{part}.json',
        lambda content: content['annotations'].append({**content['annotations'][0], 'id': 99}),
    )
    (note,) = check_data(cfg)
    assert f'{part}.json: boxes that repeat another of the same image, class and place: 1 (annotation 99)' in note
    assert effect in note
