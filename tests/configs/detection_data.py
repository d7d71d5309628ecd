"""The digit scenes laid out as the detection sets that configs/transfer names, under ``data/``."""

import json
import os
import shutil
from pathlib import Path
from xml.etree import ElementTree

VEHICLES = ('Ambulance', 'Bus', 'Car', 'Motorcycle', 'Truck')


def lay_out(root: Path, scenes: Path) -> Path:
    """Write ``root/data`` with COCO 2017, VOC 07 and 12, and the small sets; a digit is a class.

    Args:
        scenes (Path): The demo's, with ``train.json`` and ``test.json`` in COCO's format.
    """
    from mmdet.datasets import CocoDataset, VOCDataset

    data = root / 'data'
    coco = CocoDataset.METAINFO['classes']
    for split, name in (('train', 'train2017'), ('test', 'val2017')):
        _coco(scenes, split, 4, coco, data / 'coco' / name, data / 'coco' / 'annotations' / f'instances_{name}.json')
    for folder, classes in (('coco256', coco), ('vehicles', VEHICLES)):
        for split, name in (('train', 'train'), ('test', 'val'), ('test', 'test')):
            _coco(scenes, split, 4, classes, data / folder / name, data / folder / f'{name}.json')
    for year, split, name in (
        ('VOC2007', 'train', 'trainval'),
        ('VOC2012', 'train', 'trainval'),
        ('VOC2007', 'test', 'test'),
    ):
        _voc(scenes, split, 2, VOCDataset.METAINFO['classes'], data / 'VOCdevkit' / year, name)
    return root


def _read(scenes: Path, split: str, number: int) -> dict:
    content = json.loads((scenes / f'{split}.json').read_text())
    content['images'] = content['images'][:number]
    ids = {image['id'] for image in content['images']}
    content['annotations'] = [box for box in content['annotations'] if box['image_id'] in ids]
    return content


def _coco(scenes: Path, split: str, number: int, classes: tuple, images: Path, file: Path) -> None:
    content = _read(scenes, split, number)
    digit = {category['id']: int(category['name']) for category in content['categories']}
    content['categories'] = [dict(id=index, name=name) for index, name in enumerate(classes)]
    for box in content['annotations']:
        left, top, width, height = box['bbox']
        right, bottom = left + width, top + height
        box['category_id'] = digit[box['category_id']] % len(classes)
        box['segmentation'] = [[left, top, right, top, right, bottom, left, bottom]]
    _copy(content, scenes / split, images)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def _voc(scenes: Path, split: str, number: int, classes: tuple, root: Path, name: str) -> None:
    content = _read(scenes, split, number)
    digit = {category['id']: int(category['name']) for category in content['categories']}
    for image in content['images']:
        # Both splits number theirs from the same start.
        image['saved_as'] = f'{split}_{Path(image["file_name"]).stem}'
        tree = ElementTree.Element('annotation')
        _children(ElementTree.SubElement(tree, 'size'), width=image['width'], height=image['height'], depth=3)
        for box in content['annotations']:
            if box['image_id'] != image['id']:
                continue
            left, top, width, height = map(int, box['bbox'])
            found = ElementTree.SubElement(tree, 'object')
            _children(found, name=classes[digit[box['category_id']]], difficult=0)
            _children(
                ElementTree.SubElement(found, 'bndbox'),
                xmin=left + 1,
                ymin=top + 1,
                xmax=left + width,
                ymax=top + height,
            )
        path = root / 'Annotations' / f'{image["saved_as"]}.xml'
        path.parent.mkdir(parents=True, exist_ok=True)
        ElementTree.ElementTree(tree).write(path)
    _copy(content, scenes / split, root / 'JPEGImages')
    listed = root / 'ImageSets' / 'Main' / f'{name}.txt'
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text('\n'.join(image['saved_as'] for image in content['images']) + '\n')


def _children(parent: ElementTree.Element, **values) -> None:
    for key, value in values.items():
        ElementTree.SubElement(parent, key).text = str(value)


def _copy(content: dict, source: Path, target: Path) -> None:
    """The images; those of VOC as JPEG, which is how its reader names them."""
    from PIL import Image

    target.mkdir(parents=True, exist_ok=True)
    for image in content['images']:
        file = source / os.path.basename(image['file_name'])
        if 'saved_as' in image:
            Image.open(file).save(target / f'{image["saved_as"]}.jpg', quality=90)
        else:
            shutil.copy(file, target)
