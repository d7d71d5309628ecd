"""What a user gets from a folder of images, from the config to the batch."""

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from PIL import Image
from torch.utils.data import DataLoader

from hsakd_mm.datasets import ImageFolder
from hsakd_mm.engine.user_messages import user_message
from hsakd_mm.errors import UserError
from hsakd_mm.registry import DATASETS

from .helpers import image_folder, picture

PIPELINE = [dict(type='LoadImage'), dict(type='PackInputs')]


def test_samples_are_the_files_pixels(tmp_path) -> None:
    image_folder(tmp_path / 'train', classes=('b10', 'a', 'b9'))
    picture(seed=7).save(tmp_path / 'train' / 'a' / '0.png')
    dataset = DATASETS.build(dict(type='ImageFolder', data_root=str(tmp_path), split='train', pipeline=PIPELINE))
    assert dataset.metainfo['classes'] == ('a', 'b10', 'b9')
    assert len(dataset) == 6
    assert [dataset[index]['labels'] for index in range(6)] == [0, 0, 1, 1, 2, 2]
    sample = dataset[0]
    assert set(sample) == {'inputs', 'labels'} and type(sample['labels']) is int
    assert sample['inputs'].dtype == torch.uint8 and sample['inputs'].is_contiguous()
    expected = np.asarray(picture(seed=7))
    np.testing.assert_array_equal(sample['inputs'].permute(1, 2, 0).numpy(), expected)


def test_collate(tmp_path) -> None:
    dataset = ImageFolder(str(image_folder(tmp_path)), pipeline=PIPELINE)
    batch = default_collate([dataset[index] for index in range(4)])
    assert batch['inputs'].shape == (4, 3, 16, 20) and batch['inputs'].dtype == torch.uint8
    assert batch['labels'].tolist() == [0, 0, 1, 1] and batch['labels'].dtype == torch.int64


def test_hidden_files_are_no_images_and_folders_may_nest(tmp_path) -> None:
    root = image_folder(tmp_path)
    for name in ('.DS_Store', '._0.png', 'Thumbs.db', 'desktop.ini'):
        (root / 'ant' / name).write_bytes(b'x')
    (root / '__MACOSX').mkdir()
    (root / '.cache').mkdir()
    (root / 'README').write_text('beside the classes, not in one')
    (root / 'bee' / 'images').mkdir()
    picture().save(root / 'bee' / 'images' / 'deep.png')
    dataset = ImageFolder(str(root))
    assert dataset.metainfo['classes'] == ('ant', 'bee')
    assert [dataset.get_data_info(index)['gt_label'] for index in range(5)] == [0, 0, 1, 1, 1]


def test_chosen_classes(tmp_path) -> None:
    root = image_folder(tmp_path, classes=('a', 'b', 'c'))
    dataset = ImageFolder(str(root), metainfo=dict(classes=('c', 'a')))
    assert dataset.metainfo['classes'] == ('c', 'a')
    assert '/c/' in dataset.get_data_info(0)['img_path']
    with pytest.raises(UserError, match="class folder 'd' was expected"):
        ImageFolder(str(root), metainfo=dict(classes=('d', 'a')))


def test_first_few(tmp_path) -> None:
    dataset = ImageFolder(str(image_folder(tmp_path)), pipeline=PIPELINE, indices=3)
    assert len(dataset) == 3


@pytest.mark.parametrize('workers', [0, 1])
def test_a_file_that_breaks_in_mid_run_is_named(tmp_path, workers) -> None:
    dataset = ImageFolder(str(image_folder(tmp_path)), pipeline=PIPELINE)
    broken = tmp_path / 'bee' / '0.png'
    broken.write_bytes(broken.read_bytes()[:60])
    batches = iter(DataLoader(dataset, batch_size=4, num_workers=workers))
    with pytest.raises(UserError) as caught:
        next(batches)
    assert next(batches, None) is None  # the worker is let go at once
    sentence = user_message(caught.value)
    assert sentence.startswith(f'an image was expected at {broken}') and 'Traceback' not in sentence


def test_without_verification_the_loader_still_refuses(tmp_path) -> None:
    root = image_folder(tmp_path)
    picture('L').save(root / 'ant' / '0.png')
    dataset = ImageFolder(str(root), pipeline=PIPELINE, verify=False)
    with pytest.raises(UserError, match='greyscale'):
        dataset[0]
    dataset = ImageFolder(str(root), pipeline=PIPELINE, verify=False, non_rgb='convert')
    assert dataset[0]['inputs'].shape == (3, 16, 20)


def test_a_lazy_set_in_a_worker_reads_its_files_and_checks_nothing(tmp_path, monkeypatch) -> None:
    dataset = ImageFolder(str(image_folder(tmp_path)), pipeline=PIPELINE, lazy_init=True)

    def never(*args):
        raise AssertionError('a worker checked the files')

    monkeypatch.setattr('hsakd_mm.datasets.file_set.verify_images', never)
    monkeypatch.setattr('hsakd_mm.datasets.file_set.on_all_ranks', never)
    monkeypatch.setattr('hsakd_mm.datasets.file_set.get_worker_info', lambda: object())
    assert len(dataset) == 4


def test_non_rgb_is_one_of_two(tmp_path) -> None:
    with pytest.raises(UserError, match="'grey'"):
        ImageFolder(str(tmp_path), non_rgb='grey')


def test_an_image_is_rgb_not_bgr(tmp_path) -> None:
    (tmp_path / 'red').mkdir()
    Image.new('RGB', (4, 4), (255, 0, 0)).save(tmp_path / 'red' / 'a.png')
    inputs = ImageFolder(str(tmp_path), pipeline=PIPELINE)[0]['inputs']
    assert inputs[:, 0, 0].tolist() == [255, 0, 0]
