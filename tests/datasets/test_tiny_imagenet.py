"""Tiny-ImageNet's odd layout, its sorted variant, and what can be missing from it."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hsakd_mm.datasets import TinyImageNet
from hsakd_mm.errors import UserError
from tests.conftest import REPO

from .originals import write_tiny_imagenet

PIPELINE = [dict(type='LoadImage'), dict(type='PackInputs')]


def paths(dataset: TinyImageNet) -> list[tuple[str, int]]:
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return [(Path(info['img_path']).name, info['gt_label']) for info in infos]


def test_as_the_archive_unpacks(tmp_path) -> None:
    root = write_tiny_imagenet(tmp_path)
    train = TinyImageNet(str(root), pipeline=PIPELINE)
    assert train.metainfo['classes'] == ('n01', 'n02')
    assert train.metainfo['words'] == ('goldfish, Carassius auratus', 'bus')
    assert paths(train)[2:4] == [('n01_2.JPEG', 0), ('n02_0.JPEG', 1)] and len(train) == 6
    val = TinyImageNet(str(root), split='val', pipeline=PIPELINE)
    assert val.metainfo == train.metainfo
    assert paths(val) == [('val_1.JPEG', 0), ('val_3.JPEG', 0), ('val_0.JPEG', 1), ('val_2.JPEG', 1)]
    expected = np.asarray(Image.open(root / 'val' / 'images' / 'val_3.JPEG'))  # a greyscale file
    np.testing.assert_array_equal(val[1]['inputs'][2], expected)


def test_chosen_classes(tmp_path) -> None:
    root = write_tiny_imagenet(tmp_path, wnids=('n03', 'n01', 'n02'))
    for split, names in (('train', ['n03_0.JPEG', 'n01_2.JPEG']), ('val', ['val_0.JPEG', 'val_4.JPEG'])):
        chosen = TinyImageNet(str(root), split=split, metainfo=dict(classes=('n03', 'n01')))
        assert chosen.metainfo['words'][0] == 'cat'
        assert [paths(chosen)[0], paths(chosen)[-1]] == [(names[0], 0), (names[1], 1)]


def test_sorted_into_class_folders(tmp_path) -> None:
    root = write_tiny_imagenet(tmp_path)
    images = root / 'val' / 'images'
    for number, path in enumerate(sorted(images.iterdir())):
        folder = root / 'val' / ('n02', 'n01')[number % 2]
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
    sorted_val = paths(TinyImageNet(str(root), split='val'))  # an empty images/ is no class
    for name in ('wnids.txt', 'words.txt', 'val/val_annotations.txt'):
        (root / name).unlink()
    images.rmdir()
    assert (
        paths(TinyImageNet(str(root), split='val'))
        == sorted_val
        == [('val_1.JPEG', 0), ('val_3.JPEG', 0), ('val_0.JPEG', 1), ('val_2.JPEG', 1)]
    )


@pytest.mark.parametrize(
    'spoil, words',
    [
        (lambda root: (root / 'val').rename(root / 'gone'), 'no folder .*val: .*cs231n.stanford.edu'),
        (lambda root: (root / 'val/val_annotations.txt').unlink(), 'val_annotations.txt, and there'),
        (lambda root: (root / 'val/images/val_2.JPEG').unlink(), 'val_2.JPEG is in the list only'),
        (lambda root: (root / 'val/val_annotations.txt').write_text('val_0.JPEG n01\n'), 'line 1 of'),
        (lambda root: (root / 'wnids.txt').write_text('n01\nn04\n'), "class 'n04'"),
        (lambda root: (root / 'val/images/val_1.JPEG').write_bytes(b'none'), 'val_1.JPEG, and it can'),
    ],
)
def test_what_can_be_wrong(tmp_path, spoil, words) -> None:
    root = write_tiny_imagenet(tmp_path)
    spoil(root)
    with pytest.raises(UserError, match=words):
        TinyImageNet(str(root), split='val')


def test_the_test_set_has_no_labels(tmp_path) -> None:
    with pytest.raises(UserError, match='no labels'):
        TinyImageNet(str(tmp_path), split='test')


def test_real_files(tmp_path) -> None:
    shared = REPO.parent / 'shared' / 'data' / 'tinyimagenet47.zip'
    if not shared.is_file():
        pytest.skip(f'no Tiny-ImageNet at {shared}')
    with zipfile.ZipFile(shared) as archive:
        archive.extractall(
            tmp_path, [name for name in archive.namelist() if 'val/' in name or name.endswith('_7.JPEG')]
        )
    root = str(tmp_path / 'tinyimagenet47')
    train = TinyImageNet(root, pipeline=PIPELINE)
    val = TinyImageNet(root, split='val', pipeline=PIPELINE)
    assert (len(train), len(val)) == (47, 2350)
    assert train.metainfo == val.metainfo and val[2349]['inputs'].shape == (3, 64, 64)
