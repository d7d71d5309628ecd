"""CIFAR-10 and CIFAR-100 from the original python files."""

import os
from collections.abc import Sequence

import numpy as np
from torchvision import datasets

from hsakd_mm.plain_pickle import load_plain
from hsakd_mm.registry import DATASETS

from .torchvision_set import TorchvisionSet


@DATASETS.register_module()
class CIFAR10(TorchvisionSet):
    """60,000 images of 32x32 in 10 classes, 50,000 for training.

    Read from ``data_root/cifar-10-batches-py``. Arguments: see :class:`.TorchvisionSet`.
    """

    source = datasets.CIFAR10

    def files(self) -> list[tuple[str, str]]:
        return [*super().files(), (self.source.meta['filename'], self.source.meta['md5'])]

    def open(self, source) -> tuple[np.ndarray, Sequence[int], Sequence[str]]:
        source.meta = dict(source.meta, md5=None)
        if not self.verify:  # torchvision unpickles whatever is there
            for name, _ in self.files():
                with open(os.path.join(self.folder, name), 'rb') as file:
                    load_plain(file, encoding='latin1')
        content = source(self.data_root, train=self.split == 'train')
        return content.data, content.targets, content.classes


@DATASETS.register_module()
class CIFAR100(CIFAR10):
    """60,000 images of 32x32 in 100 fine classes, 50,000 for training.

    Read from ``data_root/cifar-100-python/{train,test,meta}``. Arguments: see
    :class:`.TorchvisionSet`.
    """

    source = datasets.CIFAR100
