"""What a machine lacks: the two sets of data, and teachers that someone has trained."""

import gc
import pickle
import shutil
from pathlib import Path

import pytest
import timm
import torch

from hsakd_mm.registry import MODELS
from tests.configs.catalog import CONFIGS, load, work_dir


@pytest.fixture(scope='session')
def photographs() -> list:
    from PIL import Image
    from sklearn.datasets import load_sample_images

    return [Image.fromarray(photograph) for photograph in load_sample_images().images]


@pytest.fixture(scope='session')
def imagenet(photographs, tmp_path_factory):
    """A thousand class folders with a crop of a photograph each; val shows the same as train."""
    root = tmp_path_factory.mktemp('imagenet')
    for label in range(1000):
        left, top = (7 * label) % 400, (3 * label) % 200
        crop = photographs[label % 2].crop((left, top, left + 96, top + 80))
        folder = root / 'train' / f'n{label:08d}'
        folder.mkdir(parents=True)
        crop.save(folder / f'{label}.JPEG', quality=60)
    (root / 'val').symlink_to('train')
    yield root
    shutil.rmtree(root)  # two thousand entries, which pytest would keep of three sessions


@pytest.fixture(scope='session')
def cifar100(photographs, tmp_path_factory) -> Path:
    """CIFAR-100's own format, with four crops of a photograph for each of its hundred classes."""
    import numpy as np

    root = tmp_path_factory.mktemp('cifar100')
    folder = root / 'cifar-100-python'
    folder.mkdir()
    crops = [photographs[index % 2].crop((index, index // 2, index + 32, index // 2 + 32)) for index in range(400)]
    rows = np.stack([np.asarray(crop).transpose(2, 0, 1).ravel() for crop in crops])
    labels = [index % 100 for index in range(400)]
    for split in ('train', 'test'):
        content = dict(data=rows, fine_labels=labels, coarse_labels=[0] * 400, filenames=[''] * 400, batch_label='')
        (folder / split).write_bytes(pickle.dumps(content, protocol=2))
    names = [f'class {label}' for label in range(100)]
    (folder / 'meta').write_bytes(pickle.dumps(dict(fine_label_names=names), protocol=2))
    return root


class Workplace:
    """A folder to run in, where what a config names as a teacher can be made.

    A work directory gets a checkpoint of the model that is trained in it, and ``torchvision://resnet34``
    or ``timm://resnet34.a1_in1k`` a file of that network's keys, each with its initial weights.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.models = {work_dir(name): load(name).model for name in CONFIGS}
        self.files: dict = {}

    def provide(self, source: str) -> str:
        """Make it, if that was not done yet; returns what to name instead of ``source``."""
        if '://' in source:
            file = self.root / f'{source.partition("://")[2].partition(".")[0]}.pth'
            if not file.exists():
                torch.save(timm.create_model(file.stem).state_dict(), file)
            return str(file)
        folder = self.root / source
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / 'best_of_none.pth').symlink_to(self._checkpoint(self.models[source]))
        return source

    def _checkpoint(self, model: dict) -> Path:
        """A checkpoint of an untrained model; one file for all that differ only in how they train."""
        training = ('checkpoint', 'frozen_backbone', 'load_backbone_from', 'new_head')
        model = {key: value for key, value in model.items() if key not in training}
        if str(model) not in self.files:
            file = self.root / f'{len(self.files)}.pth'
            torch.save(dict(state_dict=MODELS.build(model).state_dict(), meta={}), file)
            self.files[str(model)] = file
        return self.files[str(model)]


@pytest.fixture(scope='session')
def workplace(tmp_path_factory):
    place = Workplace(tmp_path_factory.mktemp('workplace'))
    gc.freeze()  # what is there by now need not be looked through after each test
    yield place
    gc.unfreeze()
    shutil.rmtree(place.root)  # gigabytes, which pytest would keep of three sessions
