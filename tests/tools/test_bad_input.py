"""A user's mistakes, through ``tools/train.py``: one sentence, status 2, nothing lost.

Full disks and ports in use are in test_train.py and test_dist.py.
"""

import re
import runpy
import shutil
import sys

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from PIL import Image

from hsakd_mm.models.distillers.hsakd import HSAKDTeacher
from tests.conftest import REPO

NARROW = 'model.backbone.channels=[8,8,16,16]'
PIXELS = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)


@pytest.fixture
def digits(demo_data, tmp_path):
    """A copy of ten digits of each class, to spoil."""

    def others(folder: str, names: list) -> list:
        return sorted(name for name in names if name.endswith('.png'))[10:]

    return shutil.copytree(demo_data / 'digits', tmp_path / 'digits', ignore=others)


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """``train(config, *options)`` -> what it said; asserts how it ended."""
    work_dir = tmp_path / 'work'
    work_dir.mkdir()
    (work_dir / 'backbone.pth').write_bytes(b'of an earlier run')

    def run(config: str, *options: str) -> str:
        monkeypatch.setattr(
            sys,
            'argv',
            [
                'train.py',
                str(REPO / 'configs' / f'{config}.py'),
                '--work-dir',
                str(work_dir),
                '--cfg-options',
                'train_dataloader.num_workers=0',
                'val_dataloader.num_workers=0',
                'train_dataloader.persistent_workers=False',
                'val_dataloader.persistent_workers=False',
                'train_dataloader.dataset.fraction=1.0',  # the demo's students have a tenth
                *options,
            ],
        )
        MMLogger._instance_dict.clear()  # they write to an earlier test's closed stderr
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(REPO / 'tools' / 'train.py'), run_name='__main__')
        assert ended.value.code == 2
        assert (work_dir / 'backbone.pth').read_bytes() == b'of an earlier run'
        assert sorted(path.suffix for path in work_dir.glob('*.pth')) == ['.pth']  # no new one
        said = capsys.readouterr().err.strip().splitlines()
        sentences = [line for line in said if line.startswith('error: ')]
        assert len(sentences) == 1 and not [line for line in said if 'Traceback' in line]
        return sentences[0]

    return run


def on(folder) -> list:
    return [f'train_dataloader.dataset.data_root={folder}', f'val_dataloader.dataset.data_root={folder}']


def no_folder(digits):
    shutil.rmtree(digits)


def empty_folder(digits):
    shutil.rmtree(digits / 'train')
    (digits / 'train').mkdir()


def class_without_images(digits):
    shutil.rmtree(digits / 'train' / '4')
    (digits / 'train' / '4').mkdir()


def truncated(digits):
    victim = next((digits / 'train' / '4').iterdir())
    victim.write_bytes(victim.read_bytes()[:-40])


def no_image(digits):
    (digits / 'train' / '4' / 'notes.txt').write_text('remember to label these')


def saved(mode: str, ending: str):
    def save(digits):
        image = Image.fromarray(PIXELS).convert(mode)
        image.save(digits / 'train' / '4' / f'odd.{ending}')

    save.__name__ = mode
    return save


def sixteen_bit(digits):
    deep = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
    deep.save(digits / 'train' / '4' / 'odd.png')


@pytest.mark.parametrize(
    'spoil, said',
    [
        (no_folder, 'there is no such folder: set data_root'),
        (empty_folder, 'there is nothing in it'),
        (class_without_images, 'images were expected in the class folder .*/train/4'),
        (truncated, 'cannot be decoded'),
        (no_image, 'notes.txt, and it cannot be decoded'),
        (saved('CMYK', 'jpg'), r'odd.jpg, and the file is CMYK \(mode CMYK\)'),
        (saved('L', 'png'), 'the file is greyscale'),
        (saved('RGBA', 'png'), r'\(mode RGBA\): set `non_rgb='),
        (sixteen_bit, 'the file is 16-bit'),
    ],
    ids=lambda value: getattr(value, '__name__', None),
)
def test_data(train, digits, spoil, said) -> None:
    spoil(digits)
    assert_said(train('demo/plain', NARROW, *on(digits)), said)


UNCROPPED = [dict(type='LoadImage'), dict(type='PackInputs')]
CROPPED = [dict(type='LoadImage'), dict(type='torchvision/RandomCrop', size=24), dict(type='PackInputs')]
SHRUNK = [dict(type='LoadImage'), dict(type='torchvision/Resize', size=16, max_size=20), dict(type='PackInputs')]


@pytest.mark.parametrize(
    'size, pipeline, said',
    [
        ((40, 32), UNCROPPED, 'images of a batch should have one size .*RandomResizedCrop'),
        ((32, 31), UNCROPPED, 'images of a batch should have one size'),
        ((4000, 4), UNCROPPED, 'images of a batch should have one size'),
        ((4000, 4), CROPPED, r'RandomCrop.* cannot be applied to the image .*/odd.png of 4000 x 4 pixels'),
        ((23, 32), CROPPED, r'odd.png of 23 x 32 pixels .*resize or remove the image'),
        ((4, 4000), SHRUNK, r'Resize.* cannot be applied to the image .*/odd.png of 4 x 4000 pixels'),
    ],
)
def test_sizes_of_images(train, digits, size, pipeline, said) -> None:
    workers = 2 * (size[0] % 2 == 0)  # in a worker torch says it otherwise
    for folder in (digits / 'train').iterdir():
        Image.fromarray(PIXELS).resize(size).save(folder / 'odd.png')
    options = [f'train_dataloader.num_workers={workers}', f'train_dataloader.dataset.pipeline={pipeline}']
    assert_said(train('demo/plain', NARROW, *on(digits), *options), said)


@pytest.mark.parametrize(
    'pipeline, said',
    [
        (UNCROPPED[:1], 'end it with PackInputs'),
        (UNCROPPED[1:], 'PackInputs expects an image, .* begin the pipeline with LoadImage'),
        ([dict(type='torchvision/Resize', size=32), *UNCROPPED], 'Resize.* expects an image'),
        ([], 'end the pipeline of the dataset with PackInputs'),
    ],
)
def test_incomplete_pipelines(train, digits, pipeline, said) -> None:
    workers = len(pipeline) % 2
    options = [f'train_dataloader.num_workers={workers}', f'train_dataloader.dataset.pipeline={pipeline}']
    assert_said(train('demo/plain', NARROW, *on(digits), *options), said)


def test_a_folder_that_is_none(train) -> None:
    assert_said(train('demo/plain', NARROW, 'train_dataloader.dataset.data_root=None'), 'data_root is expected to be')


def test_a_teacher_that_is_none(train) -> None:
    said = train('demo/hsakd', NARROW, 'default_hooks.distillation.checkpoint=None')
    assert_said(said, 'default_hooks.distillation.checkpoint')


@pytest.mark.parametrize(
    'classes, said',
    [
        ('Car', "a list of names, .* and it is 'Car': write \\['Car'\\]"),
        ('[]', 'is empty'),
        ('[1,1]', "has '1' twice"),
        ('7', 'a list of names, .* and it is 7'),
        ('[1,Car]', "a class folder 'Car' was expected"),
        ('[0,1]', 'the model has 10 classes, and the training data in .* has 2'),
    ],
)
def test_chosen_classes(train, digits, classes, said) -> None:
    chosen = [f'{part}_dataloader.dataset.metainfo.classes={classes}' for part in ('train', 'val')]
    assert_said(train('demo/plain', NARROW, *on(digits), *chosen, 'train_dataloader.batch_size=16'), said)


def test_a_folder_with_blanks(train, digits) -> None:
    spaced = digits.rename(digits.with_name('my data, old'))
    (spaced / 'train' / '4' / 'notes.txt').write_text('remember to label these')
    quoted = [f'{part}_dataloader.dataset.data_root="{spaced}"' for part in ('train', 'val')]
    assert_said(train('demo/plain', NARROW, *quoted), 'my data, old/train/4/notes.txt')


def test_number_of_classes(train, digits) -> None:
    said = train('demo/plain', NARROW, 'model.backbone.num_classes=12', *on(digits))
    assert_said(said, 'the model has 12 classes, and the training data in .* has 10')


def without_class_folders(folder):
    for name in '37':
        shutil.rmtree(folder / name)


def with_another_class_folder(folder):
    shutil.copytree(folder / '3', folder / 'letter')


def with_a_renamed_class_folder(folder):
    (folder / '3').rename(folder / 'three')


@pytest.mark.parametrize(
    'spoil, said',
    [
        (without_class_folders, r"the validation data lacks 2 classes \('3', '7'\): add or remove"),
        (with_another_class_folder, "the validation data also has the class 'letter': add or remove"),
        (with_a_renamed_class_folder, "lacks the class '3' and also has the class 'three'"),
    ],
)
def test_a_validation_folder_with_other_classes(train, digits, spoil, said) -> None:
    spoil(digits / 'val')
    told = train('demo/plain', NARROW, *on(digits))
    assert_said(told, 'the training data in .*digits/train and the validation data in .*digits/val must have')
    assert_said(told, said)
    assert 'num_classes' not in told


def test_unknown_network(train, digits) -> None:
    said = train('demo/plain', 'model.backbone.model_name=resnet81', *on(digits))
    assert_said(said, "no model named 'resnet81': did you mean resnet18")


@pytest.mark.parametrize(
    'content, said',
    [
        (None, 'there is none: train it first'),
        (b'<html>not found</html>', 'the file cannot be read as one'),
        ('resnet18', 'missing: backbone.layer1.2'),  # which resnet34 has and resnet18 has not
    ],
    ids=['absent', 'web page', 'other architecture'],
)
def test_teacher(train, digits, tmp_path, content, said) -> None:
    path = tmp_path / 'teacher.pth'
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        other = dict(type='TimmBackbone', model_name=content, num_classes=10, channels=(8, 8, 16, 16))
        torch.save(dict(state_dict=HSAKDTeacher(other).state_dict()), path)
    assert_said(
        train(
            'demo/hsakd',
            NARROW,
            *on(digits),
            'default_hooks.distillation.teacher.backbone.channels=[8,8,16,16]',
            'default_hooks.distillation.teacher.backbone.model_name=resnet34',
            f'default_hooks.distillation.checkpoint={path}',
        ),
        said,
    )


def assert_said(sentence: str, pattern: str) -> None:
    assert re.search(pattern, sentence), sentence
