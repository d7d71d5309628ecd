"""Records of detections for tests: the ground truth is real, the detector is a blurred one."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPO


def vehicles() -> Path:
    """The folder of the Vehicles photographs, or the test is skipped."""
    folder = REPO.parent / 'shared' / 'data' / 'vehicles'
    if not (folder / 'test.json').is_file():
        pytest.skip(f'needs the Vehicles photographs in {folder}')
    return folder


def blurred_record(annotations: Path, images: Path, skill: float = 0.6, seed: int = 0, crowds: float = 0.0) -> dict:
    """What a detector might find in real scenes: true boxes moved and missed, and false ones.

    Args:
        annotations (Path): A COCO file.
        images (Path): Where its images are.
        skill (float): 0..1, how exact the boxes are and how well the scores tell right from wrong.
        seed (int): Of the blur.
        crowds (float): The part of the ground truth that is marked as to be ignored.
    """
    coco = json.loads(Path(annotations).read_text())
    draw = np.random.default_rng(seed)
    labels = {category['id']: number for number, category in enumerate(coco['categories'])}
    truth = [
        dict(
            image=box['image_id'],
            label=labels[box['category_id']],
            bbox=list(map(float, box['bbox'])),
            ignore=bool(draw.random() < crowds),
        )
        for box in coco['annotations']
    ]
    found = []
    for box in truth:
        for _ in range(draw.integers(0, 3) + (draw.random() < skill)):
            x, y, w, h = box['bbox']
            moved = np.array([x, y, w, h]) + draw.normal(0, 0.25 * (1 - skill), 4) * [w, h, w, h]
            wrong = draw.random() > 0.5 + skill / 2
            found.append(
                dict(
                    image=box['image'],
                    bbox=moved.clip(1).tolist(),
                    label=int(draw.integers(len(labels))) if wrong else box['label'],
                    score=round(float(draw.beta(1 + 3 * skill, 2)), 3),
                )
            )
    for image in coco['images']:
        for _ in range(draw.integers(0, 6)):
            size = draw.uniform(0.05, 0.6, 2) * [image['width'], image['height']]
            corner = draw.random(2) * ([image['width'], image['height']] - size)
            found.append(
                dict(
                    image=image['id'],
                    label=int(draw.integers(len(labels))),
                    bbox=[*corner.tolist(), *size.tolist()],
                    score=round(float(draw.beta(1, 1.5 + 3 * skill)), 3),
                )
            )
    return dict(
        classes=[category['name'] for category in coco['categories']],
        images=[
            dict(
                id=image['id'],
                file=os.path.join(images, image['file_name']),
                width=image['width'],
                height=image['height'],
            )
            for image in coco['images']
        ],
        truth=truth,
        found=found,
    )
