"""The configs on the pages train: one step on real pictures, smaller than the page's so that it takes seconds."""

import json
import math
import os
import re

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image
from sklearn.datasets import load_digits

from hsakd_mm.engine.preflight import load_config
from hsakd_mm.experiments import first_losses
from tests.site.pages import files

SMALLER = {224: 112, 256: 128, 128: 64, 146: 72}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Digits as a folder of pictures: ten classes, without labels, and in COCO's format."""
    root = tmp_path_factory.mktemp('pages')
    digits = load_digits()
    for split, first in (('train', 0), ('val', 400)):
        for number in range(10):
            chosen = np.flatnonzero(digits.target == number)[first // 10 : first // 10 + 4]
            for index in chosen:
                pixels = (digits.images[index] * 15).astype(np.uint8)
                image = Image.fromarray(pixels).resize((160, 160)).convert('RGB')
                for place in (f'data/own/{split}/{number}', f'data/unlabelled/{split}', f'data/coco/{split}2017'):
                    os.makedirs(root / place, exist_ok=True)
                    image.save(root / place / f'{index}.png')
        os.makedirs(root / 'data/coco/annotations', exist_ok=True)
        names = sorted(os.listdir(root / f'data/coco/{split}2017'))
        content = dict(
            images=[dict(id=i, file_name=name, width=160, height=160) for i, name in enumerate(names, 1)],
            annotations=[
                dict(id=i, image_id=i, category_id=1, bbox=[20, 20, 120, 120], area=14400, iscrowd=0)
                for i in range(1, len(names) + 1)
            ],
            categories=[dict(id=1, name='digit')],
        )
        (root / f'data/coco/annotations/instances_{split}2017.json').write_text(json.dumps(content))
    for page, name, code in files():
        os.makedirs(root / page, exist_ok=True)
        (root / page / name).write_text(code)
    return root


def smaller(value):
    """A config's value with its image sizes made smaller."""
    if isinstance(value, dict):
        return {key: each if key in ('num_classes', 'batch_size') else smaller(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(smaller, value))
    return SMALLER.get(value, value) if isinstance(value, int) and not isinstance(value, bool) else value


@pytest.mark.parametrize('page, name', [(page, name) for page, name, _ in files()], ids=lambda word: str(word))
def test_config_trains(page, name, folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    cfg = load_config(os.path.join(page, name), needs=('model', 'train_dataloader', 'optim_wrapper'))
    if cfg.get('default_scope') == 'mmdet':
        pytest.importorskip('mmdet', reason='mmdet is not installed')
        from mmengine.registry import MODELS

        from hsakd_mm.transfer.detector import check_channels

        init_default_scope('mmdet')
        check_channels(cfg)
        cfg.model.backbone.init_cfg = None
        assert sum(weight.numel() for weight in MODELS.build(cfg.model).parameters()) > 1e6
        return
    monkeypatch.setattr(first_losses, 'IMAGES', 2)
    monkeypatch.setattr(first_losses, 'STEPS', 1)
    for part in ('model', 'train_dataloader', 'default_hooks'):
        cfg[part] = smaller(cfg[part].to_dict())
    cfg.train_dataloader.dataset.data_root = re.sub('data/birds', 'data/own', cfg.train_dataloader.dataset.data_root)
    (loss,) = first_losses.first_losses(cfg, 0)
    assert math.isfinite(loss) and loss > 0
