"""Data sets in their original files, small: what their archives unpack to."""

import pickle
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.datasets.utils import calculate_md5


def photographs(count: int, size: int) -> np.ndarray:
    """Crops of scikit-learn's two photographs, uint8 ``[count, size, size, 3]``."""
    sources = load_sample_images().images
    return np.stack([sources[n % 2][(17 * n) % 300 :, (29 * n) % 500 :][:size, :size] for n in range(count)])


def write_cifar100(root: Path, images: dict, labels: dict, names: list) -> Path:
    """``root/cifar-100-python/{train,test,meta}``; ``images[split]``: uint8 ``[n, 32, 32, 3]``."""
    folder = root / 'cifar-100-python'
    folder.mkdir(parents=True)
    for split in ('train', 'test'):
        _dump(
            folder / split,
            dict(
                data=images[split].transpose(0, 3, 1, 2).reshape(-1, 3072),
                fine_labels=list(labels[split]),
                coarse_labels=[0] * len(labels[split]),
                filenames=[],
                batch_label=f'{split}ing batch 1 of 1',
            ),
        )
    _dump(folder / 'meta', dict(fine_label_names=names, coarse_label_names=['all']))
    return folder


def small_cifar100(root: Path, classes: int = 3, train: int = 24, test: int = 6) -> Path:
    """CIFAR-100 with few classes: labels 0, 1, 2, 0, ..."""
    images = dict(train=photographs(train, 32), test=photographs(train + test, 32)[train:])
    labels = {split: [n % classes for n in range(len(images[split]))] for split in images}
    return write_cifar100(root, images, labels, [f'thing_{n}' for n in range(classes)])


def write_cifar10(root: Path, images: np.ndarray, labels: list) -> Path:
    """``root/cifar-10-batches-py``, five training batches and a test batch, all of these images."""
    folder = root / 'cifar-10-batches-py'
    folder.mkdir(parents=True)
    content = dict(data=images.transpose(0, 3, 1, 2).reshape(-1, 3072), labels=labels)
    for name in [*(f'data_batch_{n}' for n in range(1, 6)), 'test_batch']:
        _dump(folder / name, content)
    _dump(folder / 'batches.meta', dict(label_names=[f'thing_{n}' for n in range(10)]))
    return folder


def write_stl10(root: Path, images: np.ndarray, labels: list) -> Path:
    """``root/stl10_binary``; both splits hold ``images``: uint8 ``[n, 96, 96, 3]``.

    The files are column-major (x before y), and count labels from 1.
    """
    folder = root / 'stl10_binary'
    folder.mkdir(parents=True)
    for split in ('train', 'test'):
        images.transpose(0, 3, 2, 1).tofile(folder / f'{split}_X.bin')
        (np.array(labels, np.uint8) + 1).tofile(folder / f'{split}_y.bin')
    return folder


def write_tiny_imagenet(root: Path, wnids=('n02', 'n01'), each: int = 3) -> Path:
    """Its archive's layout, with ``each`` training and two validation images a class."""
    images = iter(photographs(len(wnids) * (each + 2), 64))
    lines = []
    (root / 'val' / 'images').mkdir(parents=True)
    for wnid in wnids:
        folder = root / 'train' / wnid / 'images'
        folder.mkdir(parents=True)
        for n in range(each):
            Image.fromarray(next(images)).save(folder / f'{wnid}_{n}.JPEG')
        (folder.parent / f'{wnid}_boxes.txt').write_text(f'{wnid}_0.JPEG\t0\t0\t63\t63\n')
    for n in range(2 * len(wnids)):
        Image.fromarray(next(images)).convert('L').save(root / 'val' / 'images' / f'val_{n}.JPEG')
        lines.append(f'val_{n}.JPEG\t{wnids[n % len(wnids)]}\t0\t0\t63\t63\n')
    (root / 'val' / 'val_annotations.txt').write_text(''.join(lines))
    (root / 'wnids.txt').write_text(''.join(f'{wnid}\n' for wnid in wnids))
    (root / 'words.txt').write_text('n01\tgoldfish, Carassius auratus\nn02\tbus\nn03\tcat\n')
    return root


def expect_these(monkeypatch, source: type, folder: Path) -> None:
    """Make torchvision take the files in ``folder`` for the originals, by their checksums."""
    for name in ('train_list', 'test_list'):
        monkeypatch.setattr(source, name, [[file, calculate_md5(folder / file)] for file, _ in getattr(source, name)])
    if hasattr(source, 'meta'):
        meta = dict(source.meta, md5=calculate_md5(folder / source.meta['filename']))
        monkeypatch.setattr(source, 'meta', meta)


def _dump(path: Path, content: dict) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))
