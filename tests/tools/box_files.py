"""Data sets of boxes in other formats, written for the converters, and what comes back."""

import json
from pathlib import Path
from xml.sax.saxutils import escape

import pytest


def boxes_of(coco: dict) -> list:
    """``(file, class, ignored, bbox)`` of every box, whatever the ids."""
    files = {image['id']: (image['file_name'], image['width'], image['height']) for image in coco['images']}
    names = {category['id']: category['name'] for category in coco['categories']}
    return [
        (files[box['image_id']], names[box['category_id']], box['iscrowd'], *box['bbox']) for box in coco['annotations']
    ]


def assert_same_boxes(ours: dict, theirs: dict, within: float = 1e-3) -> None:
    ours, theirs = sorted(boxes_of(ours)), sorted(boxes_of(theirs))
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs):
        assert one[:3] == other[:3] and one[3:] == pytest.approx(other[3:], abs=within)


def write_voc(coco: dict, images: Path, root: Path, first: int = 1) -> None:
    """What a VOC tool would write; pixels count from ``first``."""
    names = {category['id']: category['name'] for category in coco['categories']}
    for folder in ('Annotations', 'ImageSets/Main'):
        (root / folder).mkdir(parents=True)
    (root / 'JPEGImages').symlink_to(images)
    for image in coco['images']:
        lines = [
            f'<annotation><size><width>{image["width"]}</width>'
            f'<height>{image["height"]}</height><depth>3</depth></size>'
        ]
        for box in coco['annotations']:
            if box['image_id'] != image['id']:
                continue
            x, y, w, h = box['bbox']
            corners = zip(('xmin', 'ymin', 'xmax', 'ymax'), (x, y, x + w, y + h))
            lines.append(
                f'<object><name>{escape(names[box["category_id"]])}</name>'
                f'<difficult>{box["iscrowd"]}</difficult><bndbox>'
                + ''.join(f'<{tag}>{value + first}</{tag}>' for tag, value in corners)
                + '</bndbox><part><name>head</name></part></object>'
            )
        stem = Path(image['file_name']).stem
        (root / f'Annotations/{stem}.xml').write_text('\n'.join([*lines, '</annotation>']))
    (root / 'ImageSets/Main/train.txt').write_text('\n'.join(Path(image['file_name']).stem for image in coco['images']))


def write_yolo(coco: dict, images: Path, root: Path, split: str) -> None:
    """Images below ``root/images/<split>``, labels beside, and data.yaml."""
    order = [category['id'] for category in coco['categories']]
    (root / 'images').mkdir(parents=True, exist_ok=True)
    (root / 'images' / split).symlink_to(images)
    (root / 'labels' / split).mkdir(parents=True)
    for image in coco['images']:
        lines = []
        for box in coco['annotations']:
            if box['image_id'] == image['id']:
                x, y, w, h = box['bbox']
                parts = (
                    (x + w / 2) / image['width'],
                    (y + h / 2) / image['height'],
                    w / image['width'],
                    h / image['height'],
                )
                lines.append(f'{order.index(box["category_id"])} ' + ' '.join(f'{part:.6f}' for part in parts))
        (root / 'labels' / split / image['file_name']).with_suffix('.txt').write_text('\n'.join(lines))
    names = '\n'.join(f'  {number}: "{category["name"]}"' for number, category in enumerate(coco['categories']))
    (root / 'data.yaml').write_text(f'path: /content/elsewhere\n{split}: ../images/{split}\nnames:\n{names}\n')


def rows(printed: str) -> dict:
    """The table of one split: title to count."""
    cells = [line.rsplit(maxsplit=1) for line in printed.splitlines()[1:]]
    return {title.strip(): int(count) for title, count in cells if count.isdecimal()}


def read(path: Path) -> dict:
    return json.loads(path.read_text())
