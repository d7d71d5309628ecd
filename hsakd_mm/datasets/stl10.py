"""STL-10's labelled images from the original binary files."""

from collections.abc import Sequence

import numpy as np
from torchvision import datasets

from hsakd_mm.registry import DATASETS

from .torchvision_set import TorchvisionSet


class _Labelled(datasets.STL10):
    """torchvision's class, which does not require the 2.6 GB of unlabelled images."""

    train_list = datasets.STL10.train_list[:2]


@DATASETS.register_module()
class STL10(TorchvisionSet):
    """5,000 training and 8,000 test images of 96x96 in 10 classes; no folds.

    Read from ``data_root/stl10_binary/{train,test}_{X,y}.bin``. Arguments: see
    :class:`.TorchvisionSet`. The download is 2.6 GB, since the archive also contains the unlabelled images.
    """

    source = _Labelled
    names = ('airplane', 'bird', 'car', 'cat', 'deer', 'dog', 'horse', 'monkey', 'ship', 'truck')

    def open(self, source: type) -> tuple[np.ndarray, Sequence[int], Sequence[str]]:
        content = source(self.data_root, split=self.split)
        return content.data.transpose(0, 2, 3, 1), content.labels, self.names
