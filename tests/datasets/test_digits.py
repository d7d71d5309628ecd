"""The demo data: the same every time, nothing shared between splits, checked and never overwritten."""

import importlib.metadata
import json
import re
from itertools import combinations, pairwise

import numpy as np
import pytest
from PIL import Image

from hsakd_mm.datasets import ImageFolder
from hsakd_mm.datasets.digits import drawing, prepare
from hsakd_mm.datasets.digits.prepare import prepare_demo_data
from hsakd_mm.errors import UserError

SMALL = dict(train_scenes=2, test_scenes=1)


@pytest.fixture(scope='module')
def source() -> drawing.Source:
    return drawing.load_source(0)


@pytest.fixture
def few(source, monkeypatch) -> None:
    """Seven digits a split: enough where it is not about them."""
    split = {name: indices[:7] for name, indices in source.split.items()}
    monkeypatch.setattr(prepare, 'load_source', lambda seed: source._replace(split=split))


@pytest.fixture
def written(few, tmp_path):
    prepare_demo_data(str(tmp_path / 'demo'), **SMALL)
    return tmp_path / 'demo'


def manifest_of(folder) -> dict:
    return json.loads((folder / 'manifest.json').read_text())


def digits_in(folder, split: str) -> tuple[list, list]:
    """Source indices of a split's images, and of its scenes."""
    images = [int(path.stem) for path in (folder / 'digits' / split).rglob('*.png')]
    file = folder / 'scenes' / f'{split}.json'
    scenes = json.loads(file.read_text())['annotations'] if file.exists() else []
    return images, [annotation['digit_index'] for annotation in scenes]


def test_no_digit_and_no_photograph_column_is_in_two_splits(demo_data) -> None:
    seen = {split: set().union(*digits_in(demo_data, split)) for split in drawing.SPLITS}
    assert set().union(*seen.values()) == set(range(1797))
    for one, other in combinations(seen.values(), 2):
        assert not one & other
    strips = sorted(drawing._STRIPS.values())
    assert all(left[1] <= right[0] for left, right in pairwise(strips))


def test_backgrounds_come_from_the_splits_own_columns() -> None:
    """On a photograph that is black but for one split's columns, the others draw only black."""
    for split, (left, right) in drawing._STRIPS.items():
        photo = np.zeros((427, 640, 3), np.uint8)
        photo[:, left:right] = 255
        source = drawing.Source(np.empty(0), np.empty(0), [photo], {})
        for drawn in drawing._STRIPS:
            for seed in range(20):
                pixels = drawing._background(source, drawn, np.random.default_rng(seed), 128, (96, 176))
                assert (pixels.min() > 0) if drawn == split else (pixels.max() == 0)


def test_equal_pictures_stay_together_and_classes_are_balanced() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 17, (60, 8, 8)).astype(np.uint8)
    pictures = np.concatenate([pictures, pictures, pictures])
    labels = np.tile(np.arange(60) % 3, 3)
    split = drawing.split_digits(pictures, labels, seed=0)
    where = {index: name for name, indices in split.items() for index in indices}
    assert len(where) == 180
    assert all(where[index] == where[index + 60] == where[index + 120] for index in range(60))


def test_shares_of_each_class(demo_data) -> None:
    manifest = manifest_of(demo_data)
    assert manifest['counts']['digits/train'] == 1000
    assert manifest['counts']['digits/val'] == 300
    assert manifest['counts']['digits/test'] == 497
    dataset = ImageFolder(str(demo_data / 'digits'), split='test')
    assert dataset.metainfo['classes'] == tuple('0123456789')
    labels = [dataset.get_data_info(index)['gt_label'] for index in range(len(dataset))]
    assert np.bincount(labels).min() >= 45


def test_pictures_are_rgb_of_the_right_size(demo_data) -> None:
    for pattern, size in (('digits/*/*/*.png', 32), ('scenes/*/*.png', 128)):
        for path in sorted(demo_data.glob(pattern))[::50]:
            with Image.open(path) as image:
                assert (image.mode, image.size) == ('RGB', (size, size))


def test_scenes_are_coco(demo_data) -> None:
    from sklearn.datasets import load_digits

    target = load_digits().target
    for split, number in (('train', 8), ('test', 4)):
        coco = json.loads((demo_data / 'scenes' / f'{split}.json').read_text())
        assert [(each['id'], each['name']) for each in coco['categories']] == [
            (digit + 1, str(digit)) for digit in range(10)
        ]
        assert len(coco['images']) == number
        assert len({each['id'] for each in coco['annotations']}) == len(coco['annotations'])
        for image in coco['images']:
            assert (demo_data / 'scenes' / split / image['file_name']).is_file()
            own = [each for each in coco['annotations'] if each['image_id'] == image['id']]
            assert 2 <= len(own) <= 5
            for each in own:
                x, y, width, height = each['bbox']
                assert x > 0 and y > 0 and x + width <= 128 and y + height <= 128
                assert 10 <= height <= 56 and each['area'] == width * height
                assert each['iscrowd'] == 0
                assert each['category_id'] == target[each['digit_index']] + 1
            assert all(iou(one['bbox'], other['bbox']) < 0.1 for one, other in combinations(own, 2))


def iou(one, other) -> float:
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(wide, 0) * max(high, 0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def test_boxes_are_tight(source) -> None:
    """On a black ground the box is where the picture is bright, to a pixel of blur."""
    source = source._replace(photos=[np.zeros((427, 640, 3), np.uint8)])
    for seed in range(10):
        pixels, (box,) = drawing.draw_scene(source, [seed], 'train', np.random.default_rng(seed))
        rows, columns = (np.flatnonzero((pixels.max(-1) > 40).any(axis)) for axis in (1, 0))
        found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        wanted = (box.x, box.y, box.x + box.width, box.y + box.height)
        assert np.abs(np.subtract(found, wanted)).max() <= 1


def test_the_full_set_is_the_reference(demo_data, tmp_path) -> None:
    manifest = prepare_demo_data(str(tmp_path / 'demo'))
    assert manifest['counts']['scenes/train'] == 240 and manifest['counts']['scenes/test'] == 120
    versions = [importlib.metadata.version(name) for name in ('numpy', 'pillow', 'scikit-learn')]
    if [version.rpartition('.')[0] for version in versions] == ['2.4', '13.0', '1.9']:
        assert manifest['matches_reference']
    # The fixture was drawn with the same seed, and has fewer scenes.
    other = manifest_of(demo_data)
    pictures = {name: digest for name, digest in other['files'].items() if name.endswith('.png')}
    assert len(pictures) == 1797 + 8 + 4 and pictures.items() <= manifest['files'].items()
    assert other['content_sha256'] != manifest['content_sha256'] and not other['matches_reference']


def test_the_same_seed_gives_the_same_bytes(written, tmp_path) -> None:
    again = prepare_demo_data(str(tmp_path / 'again'), **SMALL)
    assert again == manifest_of(tmp_path / 'again') == manifest_of(written)


def test_another_seed_gives_another_split(source) -> None:
    one, other = (drawing.split_digits(source.digits, source.labels, seed) for seed in (0, 1))
    assert one != other and [len(each) for each in one.values()] == [1000, 300, 497]


def test_a_second_call_writes_nothing_and_says_so(written, capsys) -> None:
    before = {path: path.stat().st_mtime_ns for path in written.rglob('*')}
    manifest = prepare_demo_data(str(written), **SMALL)
    assert manifest == manifest_of(written)
    assert 'nothing to do' in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in written.rglob('*')}


def change(path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b'?')


@pytest.mark.parametrize(
    'name, spoil, words',
    [
        ('scenes/test.json', change, 'was changed'),
        ('digits/train/0/0000.png', lambda path: path.unlink(), 'is missing'),
        ('digits/train/0/extra.png', lambda path: path.write_bytes(b''), 'was added'),
        ('manifest.json', lambda path: path.unlink(), 'no readable manifest'),
        ('manifest.json', lambda path: path.write_text('{'), 'no readable manifest'),
        ('manifest.json', lambda path: path.write_text('[]'), 'no readable manifest'),
    ],
)
def test_a_spoilt_set_is_refused_and_kept(written, name, spoil, words) -> None:
    if '0000' in name:
        name = str(next((written / 'digits/train/0').glob('*.png')).relative_to(written))
    spoil(written / name)
    before = sorted(written.rglob('*'))
    with pytest.raises(UserError, match=words) as caught:
        prepare_demo_data(str(written), **SMALL)
    assert name in str(caught.value) and 'delete the folder and run again' in str(caught.value)
    assert sorted(written.rglob('*')) == before


@pytest.mark.parametrize(
    'asked, words', [(dict(SMALL, seed=1), 'seed 1 was asked for'), (dict(train_scenes=9), 'parameters')]
)
def test_another_set_is_not_overwritten(written, asked, words) -> None:
    with pytest.raises(UserError, match=words):
        prepare_demo_data(str(written), **asked)


def test_a_negative_seed(tmp_path) -> None:
    with pytest.raises(UserError, match='seed'):
        prepare_demo_data(str(tmp_path / 'demo'), seed=-1)


@pytest.mark.parametrize(
    'error, seen', [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(28, 'No space left on device'), UserError)]
)
def test_an_interrupt_leaves_nothing_behind(few, tmp_path, monkeypatch, error, seen) -> None:
    save, saved = Image.Image.save, []

    def stop_at_the_fifth(image, path, *args, **kwargs):
        save(image, path, *args, **kwargs)
        saved.append(path)
        if len(saved) == 5:
            raise error

    monkeypatch.setattr(Image.Image, 'save', stop_at_the_fifth)
    with pytest.raises(seen, match='No space left' if seen is UserError else None):
        prepare_demo_data(str(tmp_path / 'demo'), **SMALL)
    assert len(saved) == 5 and not list(tmp_path.iterdir())


def test_without_scikit_learn(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(__import__('sys').modules, 'sklearn.datasets', None)
    with pytest.raises(UserError, match=re.escape("pip install -e '.[demo]'")):
        prepare_demo_data(str(tmp_path / 'demo'))
    assert not list(tmp_path.iterdir())
