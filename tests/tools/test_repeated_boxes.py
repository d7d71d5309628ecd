"""A box that is there twice is two truths, of which a detector can find one: the converters leave one out and count."""

import json
from pathlib import Path

import pytest
from PIL import Image

from .box_files import boxes_of, read, rows, write_voc, write_yolo

BOX = dict(id=1, image_id=1, category_id=1, bbox=[4, 4, 20, 12], area=240, iscrowd=0)
COMMANDS = {
    'voc': ('voc_to_coco', 'voc', '--classes', 'cat', 'dog'),
    'yolo': ('yolo_to_coco', '--data', 'yolo/data.yaml'),
    'coco': ('coco_subset', 'a.json'),
}


def write(coco: dict, kind: str, root: Path) -> None:
    (root / 'pictures').mkdir()
    for image in coco['images']:
        Image.new('RGB', (80, 40)).save(root / 'pictures' / image['file_name'])
    if kind == 'voc':
        write_voc(coco, root / 'pictures', root / 'voc')
    elif kind == 'yolo':
        write_yolo(coco, root / 'pictures', root / 'yolo', 'train')
    else:
        (root / 'a.json').write_text(json.dumps(coco))


CASES = [  # what the second box has of its own, in which formats that can be said, and how many are left out
    ({}, ('voc', 'yolo', 'coco'), 1),
    (dict(bbox=[4.0, 4, 20, 12], area=200), ('coco',), 1),
    (dict(bbox=[4, 4, 20, 13]), ('voc', 'yolo', 'coco'), 0),
    (dict(category_id=2), ('voc', 'yolo', 'coco'), 0),
    (dict(image_id=2), ('voc', 'yolo', 'coco'), 0),
    (dict(iscrowd=1), ('voc', 'coco'), 0),
    (dict(segmentation=[[4, 4, 24, 4, 24, 16]]), ('coco',), 0),  # two objects may fill one box
]


@pytest.mark.parametrize(
    'kind, changes, count', [(kind, changes, count) for changes, kinds, count in CASES for kind in kinds]
)
def test_the_same_box_twice(tmp_path, tool, kind, changes, count) -> None:
    coco = dict(
        images=[dict(id=number, file_name=f'{number}.jpg', width=80, height=40) for number in (1, 2)],
        categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
        annotations=[BOX, {**BOX, 'id': 2, **changes}],
    )
    write(coco, kind, tmp_path)
    counts = rows(tool(*COMMANDS[kind], '--out', 'out.json'))
    assert counts.get('repeated boxes, left out', 0) == count
    written = boxes_of(read(tmp_path / 'out.json'))
    assert len(written) == counts['boxes'] == 2 - count
    assert [box[:3] for box in written] == [box[:3] for box in boxes_of(coco)[: 2 - count]]
