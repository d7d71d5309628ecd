"""Label files as other tools and systems write them: read rightly, or refused by name."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hsakd_mm.datasets.boxes.checks import opencv_turns

from .box_files import read

MARK = b'\xef\xbb\xbf'  # of byte order, as Windows writes it


def write_image(path: Path, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def yolo(tmp_path) -> Path:
    """Two images, one of them with a label, and the names of two classes."""
    for name in ('a', 'b'):
        write_image(tmp_path / 'images/train' / f'{name}.jpg')
    (tmp_path / 'labels/train').mkdir(parents=True)
    (tmp_path / 'labels/train/a.txt').write_text('1 0.5 0.5 0.25 0.5\n')
    (tmp_path / 'data.yaml').write_text('train: images/train\nnames: [cat, dog]\n')
    (tmp_path / 'classes.txt').write_text('cat\ndog\n')
    return tmp_path


FROM_YAML = ('yolo_to_coco', '--data', 'data.yaml', '--out', 'out.json')
FROM_FOLDER = ('yolo_to_coco', '--images', 'images/train', '--classes', 'classes.txt', '--out', 'out.json')


def boxes(path: Path) -> list:
    content = read(path)
    names = {entry['id']: entry['name'] for entry in content['categories']}
    files = {image['id']: image['file_name'] for image in content['images']}
    return [(files[box['image_id']], names[box['category_id']], box['bbox']) for box in content['annotations']]


RIGHT = [('a.jpg', 'dog', [30, 10, 20, 20])]


@pytest.mark.parametrize('command', [FROM_YAML, FROM_FOLDER])
@pytest.mark.parametrize(
    'label',
    [
        MARK + b'1 0.5 0.5 0.25 0.5\n',
        b'1 0.5 0.5 0.25 0.5\r\n\r\n',
        b'\n1\t0.5\t0.5  0.25 0.5',
        b'1 0.375 0.25 0.625 0.25 0.625 0.75 0.375 0.75',  # a polygon
        b'1.0 5e-1 .5 .25 .5',
    ],
)
def test_labels_that_are_read(yolo, tool, command, label) -> None:
    (yolo / 'labels/train/a.txt').write_bytes(label)
    tool(*command)
    assert boxes(yolo / 'out.json') == RIGHT


@pytest.mark.parametrize('names', [MARK + b'cat\ndog', b'cat\r\ndog\r\n', b'\ncat\n dog \n'])
def test_files_of_class_names(yolo, tool, names) -> None:
    (yolo / 'classes.txt').write_bytes(names)
    tool(*FROM_FOLDER)
    assert boxes(yolo / 'out.json') == RIGHT
    assert [entry['name'] for entry in read(yolo / 'out.json')['categories']] == ['cat', 'dog']


@pytest.mark.parametrize('listed', [MARK + b'images/train/a.jpg\nimages/train/b.jpg', b'./images/train/a.jpg\r\n'])
def test_a_list_of_images_and_a_yaml_with_a_mark(yolo, tool, listed) -> None:
    (yolo / 'list.txt').write_bytes(listed)
    (yolo / 'data.yaml').write_bytes(MARK + b'train: list.txt\r\nnames:\r\n  0: cat\r\n  1: dog\r\n')
    tool(*FROM_YAML)
    assert boxes(yolo / 'out.json') == RIGHT


@pytest.mark.parametrize('image, label', [('a.JPG', 'a.txt'), ('a.jpg', 'a.TXT'), ('a.JPEG', 'a.Txt')])
def test_upper_case_endings(yolo, tool, image, label) -> None:
    (yolo / 'images/train/a.jpg').rename(yolo / 'images/train' / image)
    (yolo / 'labels/train/a.txt').rename(yolo / 'labels/train' / label)
    tool(*FROM_YAML)
    assert boxes(yolo / 'out.json') == [(image, *RIGHT[0][1:])]


def test_names_with_blanks(yolo, tool) -> None:
    (yolo / 'images/train/a.jpg').rename(yolo / 'images/train/my photo 1.jpg')
    (yolo / 'labels/train/a.txt').rename(yolo / 'labels/train/my photo 1.txt')
    tool(*FROM_YAML)
    assert boxes(yolo / 'out.json') == [('my photo 1.jpg', *RIGHT[0][1:])]


@pytest.mark.parametrize(
    'hidden',
    ['images/train/.DS_Store', 'images/train/._a.jpg', 'images/train/Thumbs.db', 'images/train/__MACOSX/a.jpg',
     'images/train/.ipynb_checkpoints/a.jpg', 'labels/train/._a.txt', 'labels/train/desktop.ini'],
)  # fmt: skip
def test_files_of_operating_systems_are_passed_over(yolo, tool, hidden) -> None:
    (yolo / hidden).parent.mkdir(exist_ok=True)
    (yolo / hidden).write_bytes(b'\0\5\x16\7')
    tool(*FROM_YAML)
    assert boxes(yolo / 'out.json') == RIGHT and len(read(yolo / 'out.json')['images']) == 2


@pytest.mark.parametrize(
    'label, said',
    [
        (b'1 .5 .5 .25 .5 .9', 'line 1: a box with a score'),
        (b'1 .5 .5 .25 .5 .5 .5 2', 'line 1: a box with keypoints, for which data.yaml needs kpt_shape'),
        (b'1 .5 .5 .25 .5 .5 .5 2 .45 .4 1', 'a box with keypoints'),
        (b'1 .5 .5 .25 .5' + b' .5 .5 2' * 17, 'a box with keypoints'),
        (b'1 .5 .5 .25', 'line 1: 3 values where a box has 4'),
        (b'1.5 .5 .5 .25 .5', 'its class is no whole number'),
        (b'1,.5,.5,.25,.5', 'line 1'),
        (b'dog .5 .5 .25 .5', 'line 1'),
        ('1 .5 .5 .25 .5'.encode('utf-16'), 'byte 0 (0xff) is not'),
    ],
)
def test_labels_that_are_refused_by_name(yolo, tool, label, said) -> None:
    (yolo / 'labels/train/a.txt').write_bytes(label)
    told = tool(*FROM_YAML)
    assert said in told and 'a.txt' in told
    assert not (yolo / 'out.json').exists()


@pytest.mark.parametrize(
    'shape, extra', [('[1, 3]', ' .5 .5 2'), ('[2, 3]', ' .5 .5 2 .45 .4 1'), ('[2, 2]', ' .5 .5 .4 .4')]
)
def test_keypoints_that_data_yaml_declares_are_left_out(yolo, tool, shape, extra) -> None:
    (yolo / 'data.yaml').write_text(f'train: images/train\nnames: [cat, dog]\nkpt_shape: {shape}\n')
    (yolo / 'labels/train/a.txt').write_text(f'1 .5 .5 .25 .5{extra}\n')
    tool(*FROM_YAML)
    assert boxes(yolo / 'out.json') == RIGHT
    (yolo / 'labels/train/a.txt').write_text('1 .5 .5 .25 .5\n')
    assert 'line 1: 4 values for a box and' in tool(*FROM_YAML, '--force')


@pytest.mark.parametrize(
    'yaml, said',
    [
        (b'train: images/train\nnames: [yes, no]\n', 'reads one as True: put it in quotes'),
        (b'train: images/train\nnames: [cat, ~]\n', 'reads one as None'),
        (b'train: images/train\nnames: [2024-01-01, cat]\n', 'put it in quotes'),
        (b'train: images/train\nnames: [caf\xe9]\n', 'byte 31 (0xe9) is not: save the file as UTF-8'),
        (b'train: images/train\nnames: [cat]\nkpt_shape: 3\n', 'kpt_shape'),
    ],
)
def test_data_yaml(yolo, tool, yaml, said) -> None:
    (yolo / 'data.yaml').write_bytes(yaml)
    told = tool(*FROM_YAML)
    assert said in told and 'data.yaml' in told


@pytest.mark.parametrize('names', ['café'.encode('latin-1'), 'кот'.encode('cp1251'), 'cat'.encode('utf-16')])
def test_class_names_in_another_encoding(yolo, tool, names) -> None:
    (yolo / 'classes.txt').write_bytes(names)
    told = tool(*FROM_FOLDER)
    assert 'text in UTF-8 was expected in classes.txt, and byte' in told
    assert 'a file of class names was expected at other.txt' in tool(*FROM_FOLDER[:4], 'other.txt', '--out', 'out.json')


def test_an_index_without_a_name_is_no_class(yolo, tool) -> None:
    """Labels that count from 1, and classes that are named by their number."""
    (yolo / 'data.yaml').write_text('train: images/train\nnames: [class 1, class 2, class 3]\n')
    (yolo / 'labels/train/a.txt').write_text('3 0.5 0.5 0.25 0.5\n')
    told = tool(*FROM_YAML)
    assert '1 box (unknown category' in told and "line 1 'unnamed class 3'" in told


def test_a_split_without_any_label_file(yolo, tool) -> None:
    write_image(yolo / 'images/val/c.jpg')
    (yolo / 'data.yaml').write_text('train: images/train\nval: images/val\nnames: [cat, dog]\n')
    command = (*FROM_YAML[:-1], 'out')
    told = tool(*command)
    assert 'beside the images of val, and none of the 1 images has one' in told and 'labels/val/c.txt' in told
    assert not (yolo / 'out').exists()
    tool(*command, '--splits', 'train')
    tool(*command, '--allow-unlabelled', '--force')
    assert boxes(yolo / 'out/val.json') == []
    (yolo / 'labels/val').mkdir()
    (yolo / 'labels/val/c.txt').write_text('')  # says that nothing is there
    tool(*command, '--force')


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'TIFF'])
def test_boxes_of_turned_photographs(yolo, tool, kind) -> None:
    if not opencv_turns(kind):
        pytest.skip(f'the installed OpenCV does not turn {kind}')
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ('a', 'b'):
        write_image(yolo / f'images/train/{name}.jpg', format=kind, exif=exif)
    (yolo / 'labels/train/a.txt').write_text('0 0.25 0.25 0.3 0.4\n')
    tool(*FROM_YAML)
    assert boxes(yolo / 'out.json') == [('a.jpg', 'cat', [4, 4, 12, 32])]
    assert read(yolo / 'out.json')['images'][0]['height'] == 80


THING = (
    '<object><name>dog</name><difficult>0</difficult><bndbox><xmin>31</xmin><ymin>11</ymin>'
    '<xmax>51</xmax><ymax>31</ymax></bndbox></object>'
)
PREFIXED = THING.replace('<', '<v:').replace('<v:/', '</v:')


@pytest.fixture
def voc(tmp_path) -> Path:
    for name in ('a', 'a b', 'a 1'):
        write_image(tmp_path / 'voc/JPEGImages' / f'{name}.jpg')
        (tmp_path / 'voc/Annotations').mkdir(exist_ok=True)
        (tmp_path / 'voc/Annotations' / f'{name}.xml').write_text(f'<annotation>{THING}</annotation>')
    return tmp_path / 'voc'


FROM_VOC = ('voc_to_coco', 'voc', '--classes', 'dog', '--out', 'out.json')


@pytest.mark.parametrize(
    'text, names',
    [
        (b'a b\na\n', ['a b', 'a']),
        (b'a b  1\na -1\n', ['a b', 'a']),
        (b'a 1\n', ['a 1']),
        (b'a 1 0\r\na 0\r\n', ['a 1', 'a']),
        (MARK + b'a\t1\n\na b\n', ['a', 'a b']),
        (b'  a b  \n', ['a b']),
    ],
)
def test_image_set_lists(voc, tool, tmp_path, text, names) -> None:
    (tmp_path / 'list.txt').write_bytes(text)
    tool(*FROM_VOC, '--image-sets', 'list.txt')
    assert boxes(tmp_path / 'out.json') == [(f'{name}.jpg', *RIGHT[0][1:]) for name in names]


def test_lists_of_one_name_would_be_one_file(voc, tool, tmp_path) -> None:
    for folder, name in (('f1', 'a'), ('f2', 'a b')):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'train.txt').write_text(name)
    told = tool(*FROM_VOC[:-1], 'out', '--image-sets', 'f1/train.txt', 'f2/train.txt')
    assert '--image-sets takes lists of different names' in told and 'f1/train.txt, f2/train.txt' in told
    assert not (tmp_path / 'out').exists()


def test_a_list_in_another_encoding(voc, tool, tmp_path) -> None:
    (tmp_path / 'list.txt').write_bytes('café'.encode('latin-1'))
    assert 'byte 3 (0xe9) is not: save the file as UTF-8' in tool(*FROM_VOC, '--image-sets', 'list.txt')


@pytest.mark.parametrize(
    'text',
    [
        f'<annotation xmlns="http://voc.org/1">{THING}</annotation>'.encode(),
        f'<v:annotation xmlns:v="http://voc.org">{PREFIXED}</v:annotation>'.encode(),
        MARK + f'<annotation>\r\n{THING}</annotation>'.encode(),
        f'<?xml version="1.0" encoding="UTF-16"?><annotation>{THING}</annotation>'.encode('utf-16'),
        f'<annotation>{THING.replace("dog", " dog ")}</annotation>'.encode(),
    ],
)
def test_xml_of_other_tools(voc, tool, tmp_path, text) -> None:
    (voc / 'Annotations/a.xml').write_bytes(text)
    (voc / 'Annotations/a.xml').rename(voc / 'Annotations/a.XML')
    (voc / 'JPEGImages/._a.jpg').write_bytes(b'\0')
    (voc / 'Annotations/._a.xml').write_bytes(b'\0')
    tool(*FROM_VOC)
    assert ('a.jpg', *RIGHT[0][1:]) in boxes(tmp_path / 'out.json') and len(boxes(tmp_path / 'out.json')) == 3


def test_a_coco_json_is_mended_and_said(tmp_path, tool) -> None:
    content = dict(
        images=[dict(id=1, file_name='a.jpg', width=80, height=40)],
        categories=[dict(id=1, name='cat')],
        annotations=[dict(id=0, image_id=1, category_id=1, bbox=[4, 4, 20, 12])],
    )
    (tmp_path / 'a.json').write_bytes(MARK + json.dumps(content).encode())
    said = tool('coco_subset', 'a.json', '--out', 'out.json')
    assert said.count('mended: a.json: ') == 4
    assert read(tmp_path / 'out.json')['annotations'] == [
        dict(id=1, image_id=1, category_id=1, bbox=[4, 4, 20, 12], iscrowd=0, area=240)
    ]


@pytest.mark.parametrize('damaged', ['JPEG', 'PNG', 'WEBP'])
def test_converters_find_truncated_images(yolo, tool, damaged) -> None:
    path = write_image(yolo / 'images/train/b.jpg', format=damaged)
    path.write_bytes(path.read_bytes()[:-100])
    assert '1 image (unreadable image file' in tool(*FROM_YAML)
