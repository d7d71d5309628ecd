"""What `non_rgb='convert'` makes of each kind of image, in exact pixels."""

import numpy as np
import pytest
from PIL import Image

from hsakd_mm.datasets.images import read_rgb

from .helpers import picture, write_png16


def converted(path) -> np.ndarray:
    image = read_rgb(str(path), 'convert')
    assert image.mode == 'RGB'
    return np.asarray(image).astype(int)


def test_rgb_is_left_alone(tmp_path) -> None:
    picture().save(tmp_path / 'a.png')
    np.testing.assert_array_equal(converted(tmp_path / 'a.png'), np.asarray(picture()))


def test_greyscale_is_replicated(tmp_path) -> None:
    picture('L').save(tmp_path / 'a.png')
    np.testing.assert_array_equal(converted(tmp_path / 'a.png'), np.asarray(picture('L'))[..., None].repeat(3, -1))


def test_black_and_white_spans_the_range(tmp_path) -> None:
    Image.fromarray(np.eye(4, dtype=bool)).save(tmp_path / 'a.png')
    np.testing.assert_array_equal(converted(tmp_path / 'a.png')[..., 0], np.eye(4) * 255)


@pytest.mark.parametrize('name', ['a.jpg', 'a.tiff'])  # Adobe's inverted kind, and the plain one
def test_cmyk(tmp_path, name) -> None:
    image = Image.new('CMYK', (16, 16), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    image.save(tmp_path / name)
    red = converted(tmp_path / name)
    assert red[..., 0].min() > 245 and red[..., 1:].max() < 10


def test_transparency_lies_over_white(tmp_path) -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 0], rgba[0, :, 3] = 200, (255, 0, 51)  # opaque, hidden, a fifth
    Image.fromarray(rgba).save(tmp_path / 'a.png')
    np.testing.assert_array_equal(converted(tmp_path / 'a.png')[0], [[200, 0, 0], [255, 255, 255], [244, 204, 204]])


def test_palette_with_a_transparent_entry(tmp_path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / 'a.png', transparency=0)
    np.testing.assert_array_equal(converted(tmp_path / 'a.png')[0], [[255] * 3, [40, 50, 60]])


def test_16_bits_are_scaled_not_clipped(tmp_path) -> None:
    values = np.array([[0, 257, 12_850, 32_896, 65_535]], np.uint16)
    Image.fromarray(values).save(tmp_path / 'grey.png')
    np.testing.assert_array_equal(converted(tmp_path / 'grey.png')[0, :, 1], [0, 1, 50, 128, 255])
    write_png16(tmp_path / 'colour.png', values[..., None].repeat(3, -1))
    np.testing.assert_array_equal(converted(tmp_path / 'colour.png')[0, :, 2], [0, 1, 50, 128, 255])
