"""tools/dataset_converters: detection datasets are checked and converted to COCO jsons."""

import importlib.util
import shutil

import pytest
from PIL import Image

from hsakd_mm.datasets.boxes import coco_json
from hsakd_mm.datasets.boxes.checks import image_size

from .box_files import assert_same_boxes, boxes_of, read, rows, write_voc, write_yolo
from .commands import ROOT

VEHICLES = ROOT.parent / 'shared' / 'data' / 'vehicles'
needs_mmdet = pytest.mark.skipif(importlib.util.find_spec('mmdet') is None, reason='mmdet is not installed')
needs_vehicles = pytest.mark.skipif(not VEHICLES.is_dir(), reason='../shared/data is absent')


@needs_mmdet
def test_both_of_mmdets_readers_see_the_same_boxes(scenes, tool, tmp_path) -> None:
    from mmdet.datasets import CocoDataset, VOCDataset

    coco, images = scenes
    for number, box in enumerate(coco['annotations']):
        box['iscrowd'] = int(number % 3 == 0)
        box['bbox'][0] += 0.7  # some of VOC 2011's numbers have fractions
    first = coco['images'][0]
    coco['annotations'][0]['bbox'] = [0, 0, first['width'] - 1, first['height'] - 1]
    write_voc(coco, images, tmp_path / 'VOC2007')
    classes = [category['name'] for category in coco['categories']]
    tool('voc_to_coco', 'VOC2007', '--image-sets', 'train', '--classes', *classes, '--out', 'out')

    options = dict(metainfo=dict(classes=classes), pipeline=[])
    voc = VOCDataset(
        ann_file=str(tmp_path / 'VOC2007/ImageSets/Main/train.txt'),
        data_prefix=dict(sub_data_root=str(tmp_path / 'VOC2007/')),
        **options,
    )
    ours = CocoDataset(
        ann_file=str(tmp_path / 'out/train.json'),
        data_prefix=dict(img=str(tmp_path / 'VOC2007/JPEGImages/')),
        **options,
    )
    assert len(voc) == len(ours) == len(coco['images'])
    flags = set()
    for theirs, converted in zip(map(voc.get_data_info, range(len(voc))), map(ours.get_data_info, range(len(ours)))):
        for key in ('img_path', 'width', 'height', 'instances'):
            assert converted[key] == theirs[key]
        flags |= {box['ignore_flag'] for box in converted['instances']}
    assert flags == {0, 1}


@needs_mmdet
def test_a_difficult_box_is_neither_found_nor_missed(scenes, tool, tmp_path) -> None:
    import numpy as np
    from mmdet.evaluation import CocoMetric

    coco, images = scenes
    for box in coco['annotations']:
        box['iscrowd'] = int(box['image_id'] > 4)
    write_voc(coco, images, tmp_path / 'voc')
    tool('voc_to_coco', 'voc', '--image-sets', 'train', '--out', 'train.json')
    converted = read(tmp_path / 'train.json')
    labels = {entry['id']: label for label, entry in enumerate(converted['categories'])}
    metric = CocoMetric(ann_file=str(tmp_path / 'train.json'))
    metric.dataset_meta = dict(classes=[entry['name'] for entry in converted['categories']])
    for image in converted['images']:  # finds all that is not difficult, and nothing else
        found = [box for box in converted['annotations'] if box['image_id'] == image['id'] and not box['iscrowd']]
        xywh = np.array([box['bbox'] for box in found], float).reshape(-1, 4)
        metric.results.append(
            (
                dict(width=128, height=128, img_id=image['id']),
                dict(
                    img_id=image['id'],
                    bboxes=np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]]),
                    labels=np.array([labels[box['category_id']] for box in found], int),
                    scores=np.ones(len(found)),
                ),
            )
        )
    assert metric.evaluate(size=len(converted['images']))['coco/bbox_mAP'] == 1


def test_there_and_back(scenes, tool, tmp_path) -> None:
    coco, images = scenes
    write_voc(coco, images, tmp_path / 'voc')
    out = tool('voc_to_coco', 'voc', '--out', 'voc.json')
    assert_same_boxes(read(tmp_path / 'voc.json'), coco)
    assert "data_prefix=dict(img='voc/JPEGImages/')" in out

    write_yolo(coco, images, tmp_path / 'yolo', 'train')
    out = tool('yolo_to_coco', '--data', 'yolo/data.yaml', '--out', 'json')
    converted = read(tmp_path / 'json/train.json')
    assert_same_boxes(converted, coco)
    assert [entry['name'] for entry in converted['categories']] == list('0123456789')
    assert "data_prefix=dict(img='yolo/images/train/')" in out
    assert rows(out)['boxes'] == len(coco['annotations'])
    assert rows(out)['images'] == len(coco['images'])

    (tmp_path / 'names.txt').write_text('\n'.join('0123456789'))
    tool('yolo_to_coco', '--images', 'yolo/images/train', '--classes', 'names.txt', '--out', 'folders.json')
    assert read(tmp_path / 'folders.json') == converted


@needs_vehicles
@pytest.mark.parametrize('split', ['val', 'test'])
def test_vehicles_there_and_back(split, tool, tmp_path) -> None:
    coco = read(VEHICLES / f'{split}.json')
    write_voc(coco, VEHICLES / split, tmp_path / 'voc', first=0)
    write_yolo(coco, VEHICLES / split, tmp_path / 'yolo', split)
    tool('voc_to_coco', 'voc', '--image-sets', 'train', '--from-zero', '--out', 'voc.json')
    tool('yolo_to_coco', '--data', 'yolo/data.yaml', '--out', 'yolo.json')
    assert_same_boxes(read(tmp_path / 'voc.json'), coco)
    assert_same_boxes(read(tmp_path / 'yolo.json'), coco, within=2e-3)
    tool('coco_subset', 'voc.json', '--images', VEHICLES / split, '--out', 'same.json')
    assert read(tmp_path / 'same.json')['annotations'] == read(tmp_path / 'voc.json')['annotations']


def test_what_is_wrong_in_voc_is_refused_then_dropped_and_counted(scenes, tool, tmp_path) -> None:
    coco, images = scenes
    write_voc(coco, images, tmp_path / 'voc')
    xml = sorted((tmp_path / 'voc/Annotations').iterdir())

    def box(name, *corners) -> str:
        tags = zip(('xmin', 'ymin', 'xmax', 'ymax'), corners)
        return (
            f'<object><name>{name}</name><bndbox>'
            + ''.join(f'<{tag}>{value}</{tag}>' for tag, value in tags)
            + '</bndbox></object>'
        )

    xml[0].write_text(
        '<annotation>'
        + box('3', 0, 1, 129, 60)
        + box('3', 5, 5, 5, 9)
        + box('3', 300, 1, 310, 20)
        + box('3', 60, 60, 160, 90)
        + box('cat', 1, 1, 9, 9)
        + box('3', 1, 'x', 9, 9)
        + '</annotation>'
    )
    xml[1].write_text(xml[1].read_text().replace('<width>128', '<width>640'))
    xml[2].unlink()
    xml[3].write_text('<annotation>')
    (images / f'{xml[4].stem}.jpg').unlink()
    (images / f'{xml[5].stem}.jpg').write_text('no image')
    with open(tmp_path / 'voc/ImageSets/Main/train.txt', 'a') as file:
        file.write(f'\n{xml[6].stem}\n')

    command = ('voc_to_coco', 'voc', '--image-sets', 'train', '--classes', *'0123456789', '--out', 'train.json')
    said = tool(*command)
    for reason in (
        'zero area',
        'outside the image',
        'reaches far outside the image',
        "000001.xml, object 5 'cat'",
        'malformed annotation',
        'missing image file',
        'unreadable image file',
        'missing annotation file',
        'duplicate image',
        'says 640x128, the image has 128x128',
        '--skip-bad',
        'nothing was written',
    ):
        assert reason in said
    assert not (tmp_path / 'train.json').exists()

    counts = rows(tool(*command, '--skip-bad'))
    written = read(tmp_path / 'train.json')
    assert len(written['images']) == counts['images'] == 3
    assert boxes_of(written)[0] == (('000001.jpg', 128, 128), '3', 0, 0, 0, 128, 59)
    assert counts['clipped boxes'] == 1
    for reason in (
        'missing image file',
        'unreadable image file',
        'missing annotation file',
        'duplicate image',
        'size disagrees with the image',
        'malformed annotation',
    ):
        assert counts[f'wrong images: {reason}'] == 1
    for reason in (
        'zero area',
        'outside the image',
        'reaches far outside the image',
        'unknown category',
        'malformed annotation',
    ):
        assert counts[f'wrong boxes: {reason}'] == 1
    assert tool(*command, '--skip-bad', '--force', '--clip', '1').count('reaches far') == 0


def test_what_is_wrong_in_yolo(scenes, tool, tmp_path) -> None:
    coco, images = scenes
    write_yolo(coco, images, tmp_path / 'yolo', 'train')
    labels = sorted((tmp_path / 'yolo/labels/train').iterdir())
    labels[0].write_text(
        '10 .5 .5 .1 .1\n1 .5 .5 .1\n1.5 .5 .5 .1 .1\n1 .5 .5 -.1 .1\n'
        '1 64 64 12 12\n1 .5 .5 .004 .1\n1 nan .5 .1 .1\n'
        '2 .25 .25 .75 .25 .5 .75\n\n'
    )
    labels[1].unlink()  # no objects
    shutil.copy(images / '000003.jpg', images / '000003.jpeg')
    (labels[0].parent / 'gone.txt').write_text('1 .5 .5 .1 .1')
    (labels[0].parent / 'classes.txt').write_text('one\ntwo\n')
    command = ('yolo_to_coco', '--data', 'yolo/data.yaml', '--out', 'json')
    said = tool(*command)
    for reason in (
        '1 box (unknown category',
        "000001.txt, line 1 'class 10'",
        '3 boxes (malformed annotation',
        '1 box (zero area',
        '1 box (outside the image',
        '1 box (thinner than 1 pixel',
        '1 image (missing image file',
        'gone.txt',
        '1 image (duplicate image',
    ):
        assert reason in said
    tool(*command, '--skip-bad')
    written = read(tmp_path / 'json/train.json')
    assert boxes_of(written)[0] == (('000001.jpg', 128, 128), '2', 0, 32, 32, 64, 64)
    assert len(written['images']) == 8
    assert not [box for box in written['annotations'] if box['image_id'] == 2]


def test_mistakes_end_in_a_sentence_and_leave_all_as_it_was(scenes, tool, tmp_path) -> None:
    coco, images = scenes
    write_voc(coco, images, tmp_path / 'voc')
    write_yolo(coco, images, tmp_path / 'yolo', 'train')
    (tmp_path / 'old.json').write_text('as it was')
    for said, *command in (
        ('--force', 'voc_to_coco', 'voc', '--out', 'old.json'),
        ('all are missing: add', 'yolo_to_coco', '--data', 'empty.yaml', '--out', 'x'),
        ('cannot be read', 'yolo_to_coco', '--data', 'none.yaml', '--out', 'x'),
        ('give one of the two', 'yolo_to_coco', '--out', 'x'),
        ('--splits names val', 'yolo_to_coco', '--data', 'yolo/data.yaml', '--splits', 'val', '--out', 'x'),
        ('name it with --img-subdir', 'voc_to_coco', 'voc', '--img-subdir', 'no', '--out', 'x'),
        ('name a list', 'voc_to_coco', 'voc', '--image-sets', 'val', '--out', 'x'),
        ('name a folder', 'voc_to_coco', 'voc', '--image-sets', 'train', 'val', '--out', 'x.json'),
        ('--clip takes', 'voc_to_coco', 'voc', '--clip', '3', '--out', 'x'),
    ):
        (tmp_path / 'empty.yaml').write_text('names: [a]')
        assert said in tool(*command)
    assert not (tmp_path / 'x').exists() and not (tmp_path / 'x.json').exists()
    assert (tmp_path / 'old.json').read_text() == 'as it was'
    tool('voc_to_coco', 'voc', '--out', 'old.json', '--force')
    assert_same_boxes(read(tmp_path / 'old.json'), coco)
    assert not list(tmp_path.rglob('*.new*')) and not list(tmp_path.rglob('*.tmp'))


def test_one_file_that_cannot_be_written_leaves_the_others_unwritten(scenes, tool, tmp_path, monkeypatch) -> None:
    coco, images = scenes
    write_voc(coco, images, tmp_path / 'voc')
    main = tmp_path / 'voc/ImageSets/Main'
    shutil.copy(main / 'train.txt', main / 'val.txt')
    (tmp_path / 'out/val.json.new').mkdir(parents=True)  # in the way of the second file
    said = tool('voc_to_coco', 'voc', '--image-sets', 'train', 'val', '--out', 'out')
    assert 'could not be written' in said
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['val.json.new']


@pytest.mark.skipif(importlib.util.find_spec('cv2') is None, reason='OpenCV is not installed')
def test_a_size_is_the_one_opencv_reads(scenes, tmp_path) -> None:
    import cv2

    with Image.open(scenes[1] / '000001.jpg') as image:
        image = image.crop((0, 0, 100, 60))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = str(tmp_path / f'{orientation}.jpg')
        image.save(path, exif=exif)
        assert image_size(path) == cv2.imread(path).shape[1::-1]


def test_long_conversions_say_how_far_they_are(monkeypatch, capsys) -> None:
    monkeypatch.setattr(coco_json, '_LOG_EVERY', -1)
    assert list(coco_json.progress(iter('abc'), 3, 'train')) == ['a', 'b', 'c']
    shown = capsys.readouterr().err
    assert 'checking train: 1/3, ' in shown and 'checking train: 3/3, 0 s left' in shown
