"""What is said about the detector's data before training starts."""

import json
import re
import shutil

import pytest
from mmengine.config import Config
from PIL import Image

from hsakd_mm.errors import UserError
from hsakd_mm.transfer import annotations, data_files
from tests.conftest import REPO

pytest.importorskip('mmdet.models', reason='mmdet is not installed')
DIGITS = tuple('0123456789')


def check_data(cfg) -> list:
    """The notes, without those on digits that no tiny scene shows."""
    return [note for note in data_files.check_data(cfg) if ' has no box of ' not in note]


@pytest.fixture
def scenes(demo_data, tmp_path, monkeypatch):
    """The demo's detector on a copy of its annotation files, which ``change(part, f)`` edits."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'data' / 'demo' / 'scenes'
    folder.mkdir(parents=True)
    for name in ('train', 'test'):
        (folder / name).symlink_to(demo_data / 'scenes' / name)
        (folder / f'{name}.json').write_bytes((demo_data / 'scenes' / f'{name}.json').read_bytes())
    cfg = Config.fromfile(REPO / 'configs' / 'demo' / 'faster_rcnn.py')

    def change(part: str, edit) -> None:
        content = json.loads((folder / f'{part}.json').read_text())
        edit(content)
        (folder / f'{part}.json').write_text(json.dumps(content))

    cfg.__dict__['change'] = change
    cfg.__dict__['folder'] = folder
    return cfg


def test_the_demos_data_is_as_it_should_be(scenes) -> None:
    assert check_data(scenes) == []


def test_absent_files(scenes) -> None:
    (scenes.folder / 'train.json').unlink()
    scenes.train_dataloader.dataset.data_prefix.img = 'elsewhere/'
    with pytest.raises(UserError, match='absent or empty: .*train.json, .*elsewhere/'):
        check_data(scenes)


def test_images_that_the_annotations_name(scenes, monkeypatch) -> None:
    def rename(content) -> None:
        content['images'][-1]['file_name'] = 'gone.jpg'

    scenes.change('test', rename)
    with pytest.raises(UserError, match=r'1 of the 4 images .*test.json\): .*gone.jpg'):
        check_data(scenes)
    monkeypatch.setattr(annotations, 'CHECK_ALL_UP_TO', 3)  # of many images too all are looked for
    with pytest.raises(UserError, match='1 of the 4 images'):
        check_data(scenes)


def test_an_annotation_file_of_another_kind(scenes) -> None:
    scenes.change('train', lambda content: content.pop('categories'))
    with pytest.raises(
        UserError, match='a COCO json for detection was expected at .*train.json.* no list "categories"'
    ):
        check_data(scenes)


def test_categories(scenes) -> None:
    scenes.change('train', lambda content: content['categories'].append(dict(id=99, name='letter')))
    (note,) = check_data(scenes)
    assert note.endswith('train.json also has letter, which the detector is not trained on.')
    scenes.change('test', lambda content: content['categories'].pop(3))
    with pytest.raises(UserError, match='the classes 3 were expected in .*test.json'):
        check_data(scenes)


def test_classes_in_another_order(scenes) -> None:
    scenes.val_dataloader.dataset.metainfo.classes = DIGITS[::-1]
    with pytest.raises(UserError, match=r'has another: set it to \(0, 1, 2, 3, 4, 5, 6, 7, 8, 9\)'):
        check_data(scenes)


def test_without_metainfo_the_datasets_own_classes_count(scenes) -> None:
    scenes.train_dataloader.dataset.pop('metainfo')
    with pytest.raises(UserError, match=r'num_classes=10, and the dataset in .* 80 classes'):
        check_data(scenes)


@pytest.mark.parametrize(
    'base, keys',
    [
        ('faster_rcnn/faster-rcnn_r50_fpn_1x_coco', ['roi_head.bbox_head']),
        ('retinanet/retinanet_r50_fpn_1x_coco', ['bbox_head']),
        ('mask_rcnn/mask-rcnn_r50_fpn_1x_coco', ['roi_head.bbox_head', 'roi_head.mask_head']),
        ('cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco', ['roi_head.bbox_head.0', 'roi_head.bbox_head.2']),
    ],
)
def test_heads_that_count_other_classes(base, keys, scenes) -> None:
    cfg = Config.fromstring(f"_base_ = 'mmdet::{base}.py'", '.py')
    for part in ('train', 'val'):
        cfg[f'{part}_dataloader'] = scenes[f'{part}_dataloader']
    cfg.val_evaluator = scenes.val_evaluator
    with pytest.raises(UserError, match='num_classes=80, and the dataset in .* 10 classes') as told:
        check_data(cfg)
    for key in keys:
        assert f'model.{key}.num_classes=10' in str(told.value)


def shared_by(cfg) -> str:
    """What is said about images in both files; all other tests of this file assert that nothing is."""
    (note,) = check_data(cfg)
    assert 'also training images' in note and '--split' in note
    return note


def test_images_that_are_trained_and_measured_on(scenes) -> None:
    part = scenes.val_dataloader.dataset
    part.ann_file, part.data_prefix.img = 'train.json', 'train/'
    scenes.val_evaluator.ann_file = 'data/demo/scenes/train.json'
    assert shared_by(scenes).startswith('8 of the 8 images of the val data')
    part.indices = 4  # a part of the same images is shared nevertheless
    assert '4 of the 8 images' in check_data(scenes)[0] and 'also training images' in check_data(scenes)[1]
    scenes.train_dataloader.dataset.indices = 4  # but two parts of one file may be disjoint
    assert len(check_data(scenes)) == 1  # on the indices


def test_a_training_image_under_another_name_is_shared_too(scenes) -> None:
    images = scenes.folder / 'copies'
    shutil.copytree(scenes.folder / 'test', images)
    shutil.copy(scenes.folder / 'train' / '000002.png', images / 'new.png')
    scenes.change('test', lambda content: content['images'][1].update(file_name='new.png'))
    scenes.val_dataloader.dataset.data_prefix.img = 'copies/'
    assert re.match(r'1 of the 4 images .*copies/new.png, in training .*train/000002.png', shared_by(scenes))


VOC = REPO / 'configs' / 'transfer' / 'faster-rcnn_r18_fpn_voc0712.py'
XML = (
    '<annotation><object><name>{}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>'
    '</object></annotation>'
)


def write_voc(root, names: dict) -> None:
    """VOC's folders, 2007 and 2012, with one image for each name and the object in it."""
    for year in ('VOC2007', 'VOC2012'):
        for folder in ('ImageSets/Main', 'JPEGImages', 'Annotations'):
            (root / year / folder).mkdir(parents=True)
        for split in ('trainval', 'test'):
            (root / year / 'ImageSets' / 'Main' / f'{split}.txt').write_text('\n'.join(names))
        for name, thing in names.items():
            Image.new('RGB', (16, 16)).save(root / year / 'JPEGImages' / f'{name}.jpg')
            (root / year / 'Annotations' / f'{name}.xml').write_text(XML.format(thing))


def test_voc(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = Config.fromfile(VOC)
    with pytest.raises(UserError, match='VOC2007/ImageSets/Main/trainval.txt.*JPEGImages') as told:
        check_data(cfg)
    assert 'VOC2012' in str(told.value)
    root = tmp_path / 'data' / 'VOCdevkit'
    write_voc(root, {'000001': 'cat', '000002': 'head'})
    assert 'also has head' in check_data(cfg)[0]
    assert '2 of the 2 images' in check_data(cfg)[-1]
    (root / 'VOC2012' / 'Annotations' / '000002.xml').unlink()
    with pytest.raises(UserError, match='absent or empty .*VOC2012/Annotations/000002.xml'):
        check_data(cfg)
    cfg.train_dataloader.dataset.dataset.datasets.pop()
    (root / 'VOC2007' / 'Annotations' / '000001.xml').write_text(XML.format('digit'))
    with pytest.raises(UserError, match='the objects there are digit, head'):
        check_data(cfg)
