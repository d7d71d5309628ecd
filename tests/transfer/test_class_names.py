"""``metainfo.classes`` is a list of names or a file of them, or the run is refused."""

import pytest

from hsakd_mm.errors import UserError
from hsakd_mm.transfer.data_files import check_data

from .tiny_detection import detector

pytest.importorskip('mmdet.models', reason='mmdet is not installed')


@pytest.mark.parametrize('part', ['train', 'val'])
@pytest.mark.parametrize(
    'classes, said',
    [
        ('cat', "it is the text 'cat', which is no file"),
        ('cat,dog', "it is the text 'cat,dog'"),
        ((1, 2), r'each a text in quotes, and it is \(1, 2\)'),
        ((), 'should be a list of names'),
        (('cat', ''), 'should be a list of names'),
        (5, 'should be a list of names'),
        (('cat', 'cat'), 'names cat twice'),
    ],
)
def test_classes_that_are_no_list_of_names(tmp_path, monkeypatch, part, classes, said) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = detector(tmp_path)
    cfg[f'{part}_dataloader'].dataset.metainfo.classes = classes
    with pytest.raises(UserError, match=said):
        check_data(cfg)


@pytest.mark.parametrize('text', [b'cat\ndog\n', b'\xef\xbb\xbfcat\r\ndog\r\n', b' cat\n\ndog \n\n'])
def test_a_file_of_classes(tmp_path, text) -> None:
    cfg = detector(tmp_path)
    (tmp_path / 'classes.txt').write_bytes(text)
    for part in ('train', 'val'):
        cfg[f'{part}_dataloader'].dataset.metainfo.classes = str(tmp_path / 'classes.txt')
    assert check_data(cfg) == []
    assert cfg.val_dataloader.dataset.metainfo.classes == ('cat', 'dog')
