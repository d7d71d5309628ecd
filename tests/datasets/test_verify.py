"""Every kind of bad file and folder ends in one sentence that names it, before any training."""

import os
from multiprocessing import get_context

import numpy as np
import pytest
import torch.distributed as dist
from PIL import Image

from hsakd_mm.datasets import ImageFolder, verify
from hsakd_mm.errors import UserError

from .helpers import image_folder, picture, write_png16


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache' / 'hsakd_mm' / 'verified'


@pytest.fixture
def root(tmp_path):
    return image_folder(tmp_path / 'data')


def one_sentence(root, *parts, **kwargs) -> None:
    with pytest.raises(UserError) as caught:
        ImageFolder(str(root), **kwargs)
    text = str(caught.value)
    assert '\n' not in text and text.endswith('.') and ': ' in text
    for part in parts:
        assert str(part) in text


def cut_short(path) -> None:
    picture(size=(90, 90)).save(path)
    path.write_bytes(path.read_bytes()[:-200])


BAD = {
    'empty.png': ('not one of', lambda path: path.write_bytes(b'')),
    'text.jpg': ('not one of', lambda path: path.write_text('no image, and long enough to read')),
    'page.html': ('not one of', lambda path: path.write_text('<html>' * 9)),
    'cut.jpg': ('truncated', cut_short),
    'cut.png': ('cannot be decoded', cut_short),
    'gone.jpg': ('No such file', lambda path: path.symlink_to('/nowhere')),
}
NON_RGB = {
    'grey.jpg': ('greyscale (mode L)', lambda path: picture('L').save(path)),
    'cmyk.jpg': ('CMYK (mode CMYK)', lambda path: picture('CMYK').save(path)),
    'rgba.png': ('RGBA (mode RGBA)', lambda path: picture('RGBA').save(path)),
    'la.png': ('greyscale with transparency (mode LA)', lambda path: picture('LA').save(path)),
    'palette.png': ('of a palette (mode P)', lambda path: picture('P').save(path)),
    'bits16.png': ('16-bit (mode I;16)', lambda path: Image.fromarray(np.zeros((8, 8), np.uint16)).save(path)),
    'rgb16.png': ('16-bit (mode RGB)', lambda path: write_png16(path, np.zeros((8, 8, 3), np.uint16))),
}


@pytest.mark.parametrize('large', [False, True], ids=['decoded', 'by its ends'])
@pytest.mark.parametrize('name', [*BAD, *NON_RGB])
def test_bad_files(root, monkeypatch, name, large) -> None:
    if large:
        monkeypatch.setattr(verify, 'DECODE_UP_TO', 1)
    words, make = {**BAD, **NON_RGB}[name]
    make(root / 'bee' / name)
    one_sentence(root, root / 'bee' / name, words, *["`non_rgb='convert'`"] * (name in NON_RGB))
    if name in BAD:
        one_sentence(root, root / 'bee' / name, words, non_rgb='convert')
    else:
        assert len(ImageFolder(str(root), non_rgb='convert')) == 5


def test_bytes_after_the_end_mark_are_harmless(root, monkeypatch) -> None:
    monkeypatch.setattr(verify, 'DECODE_UP_TO', 1)
    path = root / 'ant' / '1.jpg'
    path.write_bytes(path.read_bytes() + b'\0' * 30)
    assert len(ImageFolder(str(root))) == 4


def test_a_float_image_has_no_range(root) -> None:
    path = root / 'ant' / 'depth.tiff'
    Image.fromarray(np.zeros((4, 4), np.float32)).save(path)
    one_sentence(root, path, '32-bit', non_rgb='convert')


def test_bad_folders(root, tmp_path) -> None:
    one_sentence(tmp_path / 'nowhere', tmp_path / 'nowhere', 'no such folder')
    one_sentence(root, root / 'val', 'no such folder', split='val')
    one_sentence(root / 'ant', root / 'ant', '2 files but no folder')
    (tmp_path / 'void').mkdir()
    one_sentence(tmp_path / 'void', tmp_path / 'void', 'nothing')
    (root / 'cat').mkdir()
    one_sentence(root, root / 'cat', 'it has none')


def test_a_large_set_is_checked_once(root, monkeypatch, cache) -> None:
    ImageFolder(str(root))
    assert not cache.exists()  # a small one leaves nothing behind
    monkeypatch.setattr(verify, 'STAMP_FROM', 1)
    ImageFolder(str(root))
    assert len(list(cache.iterdir())) == 1
    checked = []
    monkeypatch.setattr(verify, 'read_rgb', lambda path, non_rgb: checked.append(path))
    ImageFolder(str(root))
    assert not checked
    ImageFolder(str(root), non_rgb='convert')  # another question
    assert len(checked) == 4
    checked.clear()
    os.utime(root / 'ant' / '0.png', ns=(1, 1))
    ImageFolder(str(root))
    assert len(checked) == 4


def test_a_failed_check_is_not_remembered(root, monkeypatch, cache) -> None:
    monkeypatch.setattr(verify, 'STAMP_FROM', 1)
    cut_short(root / 'ant' / 'cut.jpg')
    for _ in range(2):
        one_sentence(root, root / 'ant' / 'cut.jpg')


def test_progress_is_logged(root, monkeypatch) -> None:
    lines = []
    monkeypatch.setattr(verify, '_LOG_EVERY', -1.0)
    monkeypatch.setattr(verify, 'print_log', lambda line, logger: lines.append(line))
    ImageFolder(str(root))
    assert lines[-1] == 'checking images: 4/4, 0 s left'


def _rank(rank: int, folders: list, store: str, queue) -> None:
    dist.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=2)
    verify._ROUND = 1
    for folder in folders[rank]:
        try:
            queue.put((rank, len(ImageFolder(folder))))
        except UserError as error:
            queue.put((rank, str(error)))
    dist.destroy_process_group()


def test_two_ranks_end_together(root, tmp_path) -> None:
    """A good set; a bad file, which one rank reads; a folder on one machine only; other files."""
    bad = image_folder(tmp_path / 'bad')
    cut_short(bad / 'bee' / 'cut.jpg')
    more = image_folder(tmp_path / 'more', each=3)
    folders = [
        [str(each) for each in (root, bad, root, root)],
        [str(each) for each in (root, bad, tmp_path / 'nowhere', more)],
    ]
    context = get_context('fork')
    queue = context.Queue()
    ranks = [context.Process(target=_rank, args=(rank, folders, str(tmp_path / 'store'), queue)) for rank in range(2)]
    for process in ranks:
        process.start()
    answers = {0: [], 1: []}
    for _ in range(8):
        rank, answer = queue.get(timeout=60)
        answers[rank].append(answer)
    for process in ranks:
        process.join(60)
    for good, cut, absent, other in answers.values():
        assert good == 4
        assert f'{bad}/bee/cut.jpg' in cut
        assert 'no such folder' in absent
        assert 'every machine must see the same files' in other
