"""A crop that is chosen before its JPEG is decoded is the crop that torchvision takes."""

import numpy as np
import pytest
import torch
from PIL import Image

from hsakd_mm.datasets import ImageFolder
from hsakd_mm.datasets.transforms import LoadRandomResizedCrop, build_transforms
from hsakd_mm.errors import UserError

TURNED = 6  # EXIF: by 90 degrees


@pytest.fixture(scope='module')
def photograph() -> Image.Image:
    """A real one, 640 x 427, as large as a telephone's."""
    from sklearn.datasets import load_sample_image

    return Image.fromarray(load_sample_image('china.jpg')).resize((2560, 1708), Image.Resampling.BICUBIC)


def saved(photograph, path, kind: str, orientation: int = 1) -> str:
    exif = Image.Exif()
    exif[0x0112] = orientation
    photograph.save(path, kind, exif=exif, **(dict(quality=95) if kind == 'JPEG' else {}))
    return str(path)


def cropped(path: str, seed: int, size: int, **options) -> tuple:
    """By both ways, with the same random numbers; and what these leave for the next transform."""
    images, after = [], []
    for pipeline in (
        [dict(type='LoadRandomResizedCrop', size=size, **options)],
        [dict(type='LoadImage'), dict(type='torchvision/RandomResizedCrop', size=size, **options)],
    ):
        torch.manual_seed(seed)
        results = dict(img_path=path)
        for transform in build_transforms(pipeline):
            results = transform(results)
        images.append(np.asarray(results['img']).astype(int))
        after.append(torch.rand(()))
    assert after[0] == after[1]
    return images


@pytest.mark.parametrize('orientation', [1, TURNED])
@pytest.mark.parametrize('seed', range(3))
def test_the_same_pixels_where_nothing_is_reduced(photograph, tmp_path, orientation, seed) -> None:
    path = saved(photograph.resize((256, 171)), tmp_path / 'small.jpg', 'JPEG', orientation)
    ours, theirs = cropped(path, seed, 160, scale=(0.5, 1.0))
    np.testing.assert_array_equal(ours, theirs)
    path = saved(photograph.resize((640, 427)), tmp_path / 'large.png', 'PNG', orientation)
    np.testing.assert_array_equal(*cropped(path, seed, 32))


@pytest.mark.parametrize('orientation', [1, TURNED])
@pytest.mark.parametrize('size', [64, 224])
def test_nearly_the_same_pixels_of_a_reduced_jpeg(photograph, tmp_path, orientation, size) -> None:
    path = saved(photograph, tmp_path / 'large.jpg', 'JPEG', orientation)
    differences = []
    for seed in range(8):
        ours, theirs = cropped(path, seed, size, ratio=(0.5, 2.0))
        assert ours.shape == theirs.shape == (size, size, 3)
        differences.append(np.abs(ours - theirs).mean())
    assert max(differences) < 4  # of 255: another filter, the same place
    assert sum(difference > 0 for difference in differences) >= 6  # most were reduced


def test_a_size_of_two_numbers_is_refused() -> None:
    with pytest.raises(UserError, match=r'pixels a side, and it is \(224, 224\)'):
        build_transforms([dict(type='LoadRandomResizedCrop', size=(224, 224))])


def test_from_a_data_set(photograph, tmp_path) -> None:
    (tmp_path / 'train' / 'china').mkdir(parents=True)
    path = tmp_path / 'train' / 'china' / 'one.jpg'
    saved(photograph, path, 'JPEG')
    pipeline = [dict(type='LoadRandomResizedCrop', size=32), dict(type='PackInputs')]
    assert ImageFolder(str(tmp_path), 'train', pipeline)[0]['inputs'].shape == (3, 32, 32)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(UserError, match='one.jpg, and it cannot be decoded'):
        LoadRandomResizedCrop(32)(dict(img_path=str(path)))
