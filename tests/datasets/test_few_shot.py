"""The few-shot split is the reference code's, index for index."""

import sys
from collections import Counter

import numpy as np
import pytest
from sklearn.model_selection import StratifiedShuffleSplit

from hsakd_mm.datasets import CIFAR100, ImageFolder
from hsakd_mm.datasets.few_shot import stratified_subset
from hsakd_mm.errors import UserError

from .helpers import image_folder
from .originals import small_cifar100

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(20), 40)).tolist()


@pytest.mark.parametrize('fraction', [0.25, 0.5, 0.75])
def test_as_the_reference_splits(fraction) -> None:
    part = stratified_subset(list(range(800)), LABELS, fraction)
    splitter = StratifiedShuffleSplit(n_splits=1, test_size=1 - fraction, random_state=0)
    expected, _ = next(iter(splitter.split(np.array(LABELS)[:, np.newaxis], LABELS)))
    assert part == expected.tolist()
    assert set(Counter(LABELS[index] for index in part).values()) == {40 * fraction}


def test_the_seed_chooses_and_all_stays_all() -> None:
    samples = list(range(800))
    assert stratified_subset(samples, LABELS, 1.0) is samples
    assert stratified_subset(samples, LABELS, 0.5, 1) != stratified_subset(samples, LABELS, 0.5, 0)


def test_on_data_sets(tmp_path) -> None:
    small_cifar100(tmp_path)
    cifar = CIFAR100(str(tmp_path), verify=False, fraction=0.25)
    infos = [cifar.get_data_info(index) for index in range(len(cifar))]
    assert sorted(info['gt_label'] for info in infos) == [0, 0, 1, 1, 2, 2]
    assert [info['row'] for info in infos] == stratified_subset(list(range(24)), [n % 3 for n in range(24)], 0.25)

    root = image_folder(tmp_path / 'folder', each=4)
    halves = [ImageFolder(str(root), fraction=0.5, split_seed=seed) for seed in (0, 0, 3)]
    files = [[half.get_data_info(index)['img_path'] for index in range(4)] for half in halves]
    assert files[0] == files[1] != files[2]
    assert sorted(halves[0].get_data_info(index)['gt_label'] for index in range(4)) == [0, 0, 1, 1]


@pytest.mark.parametrize('fraction', [0, 1.5, -1, '25%'])
def test_no_such_fraction(tmp_path, fraction) -> None:
    for dataset in (ImageFolder, CIFAR100):
        with pytest.raises(UserError, match='at most 1'):
            dataset(str(tmp_path), fraction=fraction)


def test_too_few_images() -> None:
    with pytest.raises(UserError, match='not possible'):
        stratified_subset([0, 1, 2], [0, 1, 2], 0.5)


def test_without_scikit_learn(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, 'sklearn.model_selection', None)
    with pytest.raises(UserError, match='pip install'):
        stratified_subset([0, 1], [0, 0], 0.5)
