"""CIFAR's original files: their pixels, their download, and every way in which they can be bad."""

import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmengine.dataset import default_collate
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets as torchvision_datasets
from torchvision.datasets.utils import calculate_md5

from hsakd_mm.datasets import CIFAR10, CIFAR100, download
from hsakd_mm.errors import UserError
from hsakd_mm.registry import DATASETS
from tests.conftest import REPO

from .originals import expect_these, photographs, small_cifar100, write_cifar10, write_cifar100

PACK = [dict(type='PackInputs')]


@pytest.fixture
def root(tmp_path, monkeypatch):
    expect_these(monkeypatch, torchvision_datasets.CIFAR100, small_cifar100(tmp_path))
    return str(tmp_path)


def test_samples_are_the_files_pixels(root) -> None:
    for split, images in (('train', photographs(24, 32)), ('test', photographs(30, 32)[24:])):
        dataset = DATASETS.build(dict(type='CIFAR100', data_root=root, split=split, pipeline=PACK))
        assert dataset.metainfo['classes'] == ('thing_0', 'thing_1', 'thing_2')
        assert len(dataset) == len(images)
        for index in (0, len(images) - 1):
            sample = dataset[index]
            assert sample['labels'] == index % 3 and type(sample['labels']) is int
            np.testing.assert_array_equal(sample['inputs'].permute(1, 2, 0), images[index])


def test_cifar10_reads_all_its_batches(tmp_path, monkeypatch) -> None:
    folder = write_cifar10(tmp_path, photographs(4, 32), [3, 1, 9, 0])
    expect_these(monkeypatch, torchvision_datasets.CIFAR10, folder)
    dataset = CIFAR10(str(tmp_path), pipeline=PACK)
    assert len(dataset) == 20 and len(CIFAR10(str(tmp_path), split='test')) == 4
    assert [dataset[index]['labels'] for index in range(14, 18)] == [9, 0, 3, 1]
    np.testing.assert_array_equal(dataset[9]['inputs'].permute(1, 2, 0), photographs(4, 32)[1])


def test_the_papers_pipeline_in_a_worker(root) -> None:
    pipeline = [
        dict(type='torchvision/RandomCrop', size=32, padding=4),
        dict(type='torchvision/RandomHorizontalFlip'),
        *PACK,
    ]
    dataset = CIFAR100(root, pipeline=pipeline, lazy_init=True)
    assert not dataset._fully_initialized
    loader = DataLoader(dataset, batch_size=24, num_workers=1, collate_fn=default_collate)
    (batch,) = loader
    assert batch['inputs'].shape == (24, 3, 32, 32) and batch['inputs'].dtype == torch.uint8


def test_chosen_classes_and_first_few(root) -> None:
    dataset = CIFAR100(root, pipeline=PACK, metainfo=dict(classes=['thing_2', 'thing_0']), indices=5)
    assert dataset.metainfo['classes'] == ('thing_2', 'thing_0')
    assert [dataset[index]['labels'] for index in range(5)] == [1, 0, 1, 0, 1]
    np.testing.assert_array_equal(dataset[1]['inputs'].permute(1, 2, 0), photographs(3, 32)[2])
    with pytest.raises(UserError, match="no class 'cat'.* thing_0, thing_1"):
        CIFAR100(root, metainfo=dict(classes=['cat']))


def test_a_subset_shares_the_images(root) -> None:
    dataset = CIFAR100(root, pipeline=PACK)
    subset = dataset.get_subset([7, 3])
    assert subset[0]['labels'] == 1 and subset._images is dataset._images


def test_load_image_is_refused(tmp_path) -> None:
    with pytest.raises(UserError, match='leave LoadImage out'):
        CIFAR100(str(tmp_path), pipeline=[dict(type='LoadImage'), *PACK])


def test_no_such_split(tmp_path) -> None:
    with pytest.raises(UserError, match="'val'"):
        CIFAR100(str(tmp_path), split='val')


def test_missing_and_damaged_files(root, tmp_path) -> None:
    folder = tmp_path / 'cifar-100-python'
    with pytest.raises(
        UserError,
        match=r'nowhere/cifar-100-python/train is missing: '
        r'set download=True .* https://www.cs.toronto.edu',
    ):
        CIFAR100(str(tmp_path / 'nowhere'))
    (folder / 'meta').rename(folder / 'mata')
    with pytest.raises(UserError, match='python/meta is missing'):
        CIFAR100(root)
    (folder / 'mata').rename(folder / 'meta')
    test = folder / 'test'
    test.write_bytes(test.read_bytes()[:-9])
    with pytest.raises(UserError, match=r'python/test is not the original file \(its MD5 differs\)'):
        CIFAR100(root)
    with pytest.raises(UserError, match='cannot be read as such'):  # not verified, and cut short
        CIFAR100(root, split='test', verify=False)


def test_files_of_ones_own(tmp_path) -> None:
    small_cifar100(tmp_path / 'good')
    assert len(CIFAR100(str(tmp_path / 'good'), verify=False)) == 24
    write_cifar100(
        tmp_path / 'bad',
        dict(train=photographs(2, 32), test=photographs(2, 32)),
        dict(train=[0, 5], test=[0, 1]),
        ['one', 'two'],
    )
    with pytest.raises(UserError, match=r'2 images, 2 labels in 0\.\.5 of 2 classes'):
        CIFAR100(str(tmp_path / 'bad'), verify=False)


@pytest.fixture
def archive(root, tmp_path, monkeypatch):
    """The archive behind an address, and its answers counted."""
    name = torchvision_datasets.CIFAR100.filename
    with tarfile.open(tmp_path / name, 'w:gz') as tar:
        tar.add(tmp_path / 'cifar-100-python', 'cifar-100-python')

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args) -> None:
            answers.append(args)

    answers = []
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Handler, directory=root))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(torchvision_datasets.CIFAR100, 'url', f'http://127.0.0.1:{server.server_port}/{name}')
    monkeypatch.setattr(torchvision_datasets.CIFAR100, 'tgz_md5', calculate_md5(tmp_path / name))
    yield answers
    server.shutdown()
    server.server_close()


def test_download(archive, tmp_path, capfd, monkeypatch) -> None:
    place = tmp_path / 'new'
    dataset = CIFAR100(str(place), pipeline=PACK, download=True)
    assert len(dataset) == 24 and archive
    assert '100%' in capfd.readouterr().err
    archive.clear()
    CIFAR100(str(place), split='test', download=True)
    (place / 'cifar-100-python' / 'train').unlink()
    assert len(CIFAR100(str(place), download=True)) == 24  # from the archive that is there
    assert not archive

    monkeypatch.setattr(torchvision_datasets.CIFAR100, 'tgz_md5', '0' * 32)
    with pytest.raises(UserError, match='corrupted.*put it into .*as cifar-100-python.tar.gz'):
        CIFAR100(str(tmp_path / 'other'), download=True)
    monkeypatch.setattr(torchvision_datasets.CIFAR100, 'url', 'http://127.0.0.1:9/x.tar.gz')
    with pytest.raises(UserError, match='the download of .*127.0.0.1:9/x.tar.gz to .* failed .*refused'):
        CIFAR100(str(tmp_path / 'other'), download=True)


def _rank(rank: int, folder, queue) -> None:
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    download._ROUND = 0.01

    def work() -> None:
        threading.Event().wait(0.05)  # longer than a round
        (folder / f'by_{rank}').touch()

    def fail() -> None:
        raise UserError('no network.')

    download.on_main_rank(work)
    there = sorted(path.name for path in folder.glob('by_*'))
    try:
        download.on_main_rank(fail)
        queue.put((there, None))
    except UserError as error:
        queue.put((there, str(error)))
    dist.destroy_process_group()


def test_one_rank_downloads_and_both_hear_of_it(tmp_path) -> None:
    context = get_context('fork')
    queue = context.Queue()
    ranks = [context.Process(target=_rank, args=(rank, tmp_path, queue)) for rank in range(2)]
    for process in ranks:
        process.start()
    answers = [queue.get(timeout=60) for _ in ranks]
    for process in ranks:
        process.join(60)
    assert answers == [(['by_0'], 'no network.')] * 2


def test_the_real_images(tmp_path) -> None:
    """Two classes of the real set, written as the original files are, come back bit for bit."""
    shared = REPO.parent / 'shared' / 'data' / 'cifar100'
    if not shared.is_dir():
        pytest.skip(f'no CIFAR-100 at {shared}')
    names, images, labels = ['apple', 'mouse'], {}, {}
    for split in ('train', 'test'):
        mosaics = [
            np.asarray(Image.open(next((shared / split).glob(f'*_{name}.webp'))).convert('RGB')) for name in names
        ]
        images[split] = np.concatenate(
            [mosaic.reshape(-1, 32, 25, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3) for mosaic in mosaics]
        )
        labels[split] = np.repeat([0, 1], len(images[split]) // 2).tolist()
    write_cifar100(tmp_path, images, labels, names)
    dataset = CIFAR100(str(tmp_path), pipeline=PACK, verify=False)
    assert len(dataset) == 1000 and dataset[500]['labels'] == 1
    got = np.stack([dataset[index]['inputs'].permute(1, 2, 0).numpy() for index in range(1000)])
    np.testing.assert_array_equal(got, images['train'])
