"""STL-10's binary files: column-major pixels, labels from 1, no need of the unlabelled images."""

import numpy as np
import pytest

from hsakd_mm.datasets import STL10
from hsakd_mm.errors import UserError

from .originals import expect_these, photographs, write_stl10

PACK = [dict(type='PackInputs')]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = write_stl10(tmp_path, photographs(6, 96), [0, 9, 3, 0, 9, 3])
    expect_these(monkeypatch, STL10.source, folder)
    return folder


@pytest.mark.parametrize('split', ['train', 'test'])
def test_samples_are_the_files_pixels(folder, split) -> None:
    dataset = STL10(str(folder.parent), split=split, pipeline=PACK)
    assert len(dataset) == 6 and len(dataset.metainfo['classes']) == 10
    for index, label in ((0, 0), (4, 9)):
        assert dataset[index]['labels'] == label
        np.testing.assert_array_equal(dataset[index]['inputs'].permute(1, 2, 0), photographs(6, 96)[index])


def test_at_cifars_size(folder) -> None:
    pipeline = [dict(type='torchvision/Resize', size=32), *PACK]
    assert STL10(str(folder.parent), pipeline=pipeline)[0]['inputs'].shape == (3, 32, 32)


def test_bad_files(folder) -> None:
    (folder / 'train_X.bin').write_bytes(b'0' * 100)
    with pytest.raises(UserError, match='train_X.bin is not the original'):
        STL10(str(folder.parent))
    with pytest.raises(UserError, match='cannot be read as such'):
        STL10(str(folder.parent), verify=False)
    (folder / 'test_y.bin').unlink()
    with pytest.raises(UserError, match='test_y.bin is missing: set download=True'):
        STL10(str(folder.parent), split='test', verify=False)
    with pytest.raises(UserError, match="'unlabeled'"):
        STL10(str(folder.parent), split='unlabeled')
