"""Photographs are turned as their EXIF block says, by every reader in the same way."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from hsakd_mm.datasets import ImageFolder
from hsakd_mm.datasets.boxes import checks
from hsakd_mm.datasets.boxes.checks import image_size
from hsakd_mm.datasets.images import read_rgb

cv2 = pytest.importorskip('cv2', reason='OpenCV is not installed')
FORMATS = dict(JPEG=dict(quality=100, subsampling=0), PNG={}, WEBP=dict(lossless=True), TIFF={}, MPO=dict(quality=100))


def picture() -> Image.Image:
    """80 x 40 pixels without any symmetry."""
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:16, :32], pixels[24:, 64:] = 255, (255, 0, 0)
    return Image.fromarray(pixels)


def by_opencv(path) -> np.ndarray:
    return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def assert_as_opencv(path) -> None:
    ours, theirs = np.asarray(read_rgb(str(path))).astype(int), by_opencv(path)
    assert image_size(str(path)) == theirs.shape[1::-1]
    assert ours.shape == theirs.shape and abs(ours - theirs).max() < 16


def needs_an_opencv_that_turns(kind) -> None:
    if not checks.opencv_turns(kind):
        pytest.skip(f'OpenCV {cv2.__version__} does not turn {kind}')


@pytest.mark.parametrize('tag', range(1, 9))
@pytest.mark.parametrize('kind', FORMATS)
def test_every_orientation_of_every_format(tmp_path, kind, tag) -> None:
    needs_an_opencv_that_turns(kind)
    exif = Image.Exif()
    exif[0x0112] = tag
    picture().save(tmp_path / 'a', kind, exif=exif, **FORMATS[kind])
    assert_as_opencv(tmp_path / 'a')
    turned = np.asarray(read_rgb(str(tmp_path / 'a')))
    assert turned.shape[:2] == ((80, 40) if tag > 4 else (40, 80))


def block(order: str, tag: int, *, cut: int = 0) -> bytes:
    """An EXIF block with one entry."""
    data = struct.pack(f'{order}HIHHHIHHI', 42, 8, 1, 0x0112, 3, 1, tag, 0, 0)
    return b'Exif\0\0' + (b'II' if order == '<' else b'MM') + data[: len(data) - cut]


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP'])
@pytest.mark.parametrize(
    'exif, turns',
    [
        (block('<', 6), True),
        (block('>', 6), True),
        (block('<', 0), False),
        (block('>', 9), False),
        (block('<', 6, cut=18), False),
        (b'Exif\0\0', False),
        (b'Exif\0\0no block at all', False),
    ],
)
def test_blocks_of_other_tools(tmp_path, kind, exif, turns) -> None:
    needs_an_opencv_that_turns(kind)
    picture().save(tmp_path / 'a', kind, exif=exif, **FORMATS[kind])
    assert_as_opencv(tmp_path / 'a')
    assert image_size(str(tmp_path / 'a')) == ((40, 80) if turns else (80, 40))


def test_a_block_behind_the_pixels_of_a_png(tmp_path) -> None:
    picture().save(tmp_path / 'a.png')
    data = (tmp_path / 'a.png').read_bytes()
    chunk = b'eXIf' + block('>', 8).removeprefix(b'Exif\0\0')
    (tmp_path / 'a.png').write_bytes(
        data[:-12] + struct.pack('>I', len(chunk) - 4) + chunk + struct.pack('>I', zlib.crc32(chunk)) + data[-12:]
    )
    assert image_size(str(tmp_path / 'a.png')) == (40, 80)
    assert_as_opencv(tmp_path / 'a.png')


@pytest.mark.parametrize('kind', ['JPEG', 'WEBP'])
def test_xmp_alone_turns_nothing(tmp_path, kind) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    picture().save(tmp_path / 'a', kind, xmp=xmp, **FORMATS[kind])
    assert_as_opencv(tmp_path / 'a')
    assert image_size(str(tmp_path / 'a')) == (80, 40)


def test_an_opencv_that_does_not_turn_a_format_is_believed(tmp_path, monkeypatch) -> None:
    picture().save(tmp_path / 'a.png', exif=block('<', 6))
    monkeypatch.setattr(checks, 'opencv_turns', lambda kind: kind == 'JPEG')
    assert image_size(str(tmp_path / 'a.png')) == (80, 40)
    assert read_rgb(str(tmp_path / 'a.png')).size == (40, 80)  # pretraining does not depend on OpenCV


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP'])
def test_pretraining_sees_photographs_upright(tmp_path, kind) -> None:
    (tmp_path / 'ant').mkdir()
    picture().save(tmp_path / 'ant' / 'a', kind, exif=block('<', 8), **FORMATS[kind])
    dataset = ImageFolder(str(tmp_path), pipeline=[dict(type='LoadImage'), dict(type='PackInputs')])
    assert dataset[0]['inputs'].shape == (3, 80, 40)


def test_without_a_block_no_bit_changes(tmp_path) -> None:
    picture().save(tmp_path / 'a.png')
    np.testing.assert_array_equal(np.asarray(read_rgb(str(tmp_path / 'a.png'))), np.asarray(picture()))


@pytest.mark.parametrize('mode', ['L', 'RGBA', 'P', 'CMYK'])
def test_other_modes_are_turned_too(tmp_path, mode) -> None:
    kind = 'JPEG' if mode == 'CMYK' else 'PNG'
    picture().convert(mode).save(tmp_path / 'a', kind, exif=block('<', 6))
    assert read_rgb(str(tmp_path / 'a'), 'convert').size == (40, 80)
