"""The bench on a slice of CIFAR-100: its images, and what its configs change in the papers' recipes."""

import pickle
import sys

import numpy as np
import pytest
import torchvision
from mmengine.config import Config
from PIL import Image

from hsakd_mm.errors import UserError
from tests.conftest import REPO

SLICE = REPO / 'configs' / 'bench' / 'cifar100_slice'


def test_slice_is_the_same_from_mosaics_and_from_the_original(tmp_path, monkeypatch) -> None:
    """And in spite of another order of the images."""
    monkeypatch.syspath_prepend(str(REPO / 'tools' / 'dataset_converters'))
    import cifar100_to_folder

    classes, rng = ['apple', 'bee', 'cup'], np.random.default_rng(0)
    original = tmp_path / 'original' / 'cifar-100-python'
    original.mkdir(parents=True)
    for split, rows in (('train', 2), ('test', 1)):
        images = rng.integers(0, 256, (3, 25 * rows, 32, 32, 3), dtype=np.uint8)
        (tmp_path / 'mosaics' / split).mkdir(parents=True)
        for label, name in enumerate(classes):
            tiles = images[label].reshape(rows, 25, 32, 32, 3).swapaxes(1, 2)
            Image.fromarray(tiles.reshape(32 * rows, 800, 3)).save(
                tmp_path / 'mosaics' / split / f'{label:02d}_{name}.webp', lossless=True
            )
        order = rng.permutation(3 * 25 * rows)
        flat = images.reshape(-1, 32, 32, 3)[order]
        content = dict(
            data=flat.transpose(0, 3, 1, 2).reshape(len(flat), -1), fine_labels=(order // (25 * rows)).tolist()
        )
        (original / split).write_bytes(pickle.dumps(content))
    (original / 'meta').write_bytes(pickle.dumps(dict(fine_label_names=classes)))
    cifar = torchvision.datasets.cifar
    monkeypatch.setattr(cifar, 'check_integrity', lambda *args: True)  # these are not the real ones

    manifests = [
        cifar100_to_folder.convert(str(tmp_path / source), str(tmp_path / f'{source}_out'), ['0-1', 'cup'], 10)
        for source in ('mosaics', 'original')
    ]
    assert manifests[0] == manifests[1]
    assert (manifests[0]['train'], manifests[0]['val']) == (30, 75)
    files = sorted((tmp_path / 'mosaics_out').rglob('*.png'))
    assert len(files) == 105
    for file in files:
        other = tmp_path / 'original_out' / file.relative_to(tmp_path / 'mosaics_out')
        assert file.read_bytes() == other.read_bytes()
    with pytest.raises(UserError, match='exists and is not empty'):
        cifar100_to_folder.convert(str(tmp_path / 'mosaics'), str(tmp_path / 'mosaics_out'), ['0'])
    for wrong in ('0-3', 'ape', '2-1', '-1'):
        with pytest.raises(UserError, match='names of CIFAR-100'):
            cifar100_to_folder.choose([wrong], classes)
    with pytest.raises(UserError, match='neither'):
        cifar100_to_folder.convert(str(tmp_path), str(tmp_path / 'new'), ['0'])
    assert 'cifar100_to_folder' in sys.modules


@pytest.mark.parametrize(
    'ours, paper',
    [
        ('plain_r20', 'baselines/cifar100_r20'),
        ('plain_r56', 'baselines/cifar100_r56'),
        ('teacher_r56', 'hsakd/cifar100_r56_teacher'),
        ('kd_r56_r20', 'baselines/cifar100_kd_r56_r20'),
        ('hsakd_r56_r20', 'hsakd/cifar100_r56_r20'),
    ],
)
def test_slice_differs_from_the_paper_in_data_and_length_only(ours, paper) -> None:
    ours, paper = (Config.fromfile(path) for path in (SLICE / f'{ours}.py', REPO / 'configs' / f'{paper}.py'))
    assert recipe(ours) == recipe(paper)


def recipe(cfg: Config) -> dict:
    """Model, teacher, optimizer, relative milestones and augmentation, without size and place."""

    def same(value):
        if not isinstance(value, dict):
            return value
        defaults = dict(
            temperature=dict(HSAKD=3.0, KD=4.0).get(value.get('type')),
            ce_weight=0.1,
            kd_weight=0.9,
            kl_branches=1.0,
            kl_rotated=1.0,
            kl_unrotated=0.0,
            ce_branches=0.0,
        )
        return {
            key: same(item)
            for key, item in value.items()
            if key not in ('num_classes', 'channels_last', 'checkpoint') and item != defaults.get(key)
        }

    epochs = cfg.train_cfg.max_epochs
    return dict(
        model=same(cfg.model.to_dict()),
        teacher=same(cfg.default_hooks.get('distillation', Config()).get('teacher', {})),
        optimizer=cfg.optim_wrapper.optimizer,
        milestones=[round(step / epochs, 6) for step in cfg.param_scheduler.milestones],
        gamma=cfg.param_scheduler.gamma,
        batch=cfg.train_dataloader.batch_size,
        pipeline=[step for step in cfg.train_dataloader.dataset.pipeline if step['type'] != 'LoadImage'],
    )
