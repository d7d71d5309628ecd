"""A detection dataset of a few tiny images, and the config of a detector on it, to be damaged by tests."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mmengine.config import Config
from PIL import Image

CLASSES = ('cat', 'dog')
SIZE = (80, 40)


def coco(images: int = 3, first: int = 1) -> dict:
    """Two boxes, a cat and a dog, in each image."""
    numbers = range(first, first + images)
    return dict(
        images=[dict(id=number, file_name=f'{number}.jpg', width=SIZE[0], height=SIZE[1]) for number in numbers],
        categories=[dict(id=number, name=name) for number, name in enumerate(CLASSES, 1)],
        annotations=[
            dict(
                id=2 * number + label,
                image_id=number,
                category_id=label,
                bbox=[4 * label, 4, 20, 12],
                area=240,
                iscrowd=0,
            )
            for number in numbers
            for label in (1, 2)
        ],
    )


def write_image(path: Path, size: tuple = SIZE, **options) -> None:
    seed = sum(map(ord, path.stem))
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)


def detector(root: Path) -> Config:
    """Writes ``train`` and ``val`` with their json below ``root``; the config of a detector that reads them."""
    loaders = {}
    for part, first in (('train', 1), ('val', 11)):
        (root / part).mkdir(parents=True)
        content = coco(first=first)
        for image in content['images']:
            write_image(root / part / image['file_name'])
        (root / f'{part}.json').write_text(json.dumps(content))
        loaders[f'{part}_dataloader'] = dict(
            dataset=dict(
                type='CocoDataset',
                data_root=f'{root}/',
                ann_file=f'{part}.json',
                data_prefix=dict(img=f'{part}/'),
                metainfo=dict(classes=CLASSES),
                test_mode=part == 'val',
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='Resize', scale=SIZE),
                    dict(type='LoadAnnotations', with_bbox=True),
                    dict(type='PackDetInputs'),
                ],
            )
        )
    return Config(
        dict(
            default_scope='mmdet',
            model=dict(roi_head=dict(bbox_head=dict(num_classes=len(CLASSES)))),
            val_evaluator=dict(type='CocoMetric', ann_file=str(root / 'val.json')),
            **loaders,
        )
    )


def change(path: Path, edit: Callable) -> None:
    """Edit the content of a json in place."""
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def box(number: int, **values) -> Callable:
    """An edit that changes an annotation."""
    return lambda content: content['annotations'][number].update(values)


def without(number: int, *keys: str) -> Callable:
    """An edit that removes fields of an annotation."""
    return lambda content: [content['annotations'][number].pop(key) for key in keys]


def image(number: int, **values) -> Callable:
    """An edit that changes an image."""
    return lambda content: content['images'][number].update(values)
