"""Write some classes of CIFAR-100 or CIFAR-10 as a folder of PNGs: ``OUT/{train,val}/<class>/NNN.png``.

Usage::

    python tools/dataset_converters/cifar100_to_folder.py SOURCE [--out DIR] [--classes 0-9]
        [--per-class N]

SOURCE has either the original ``cifar-100-python``, or ``train/`` and ``test/`` (or ``val/``) with one lossless
mosaic per class (``NN_name.webp``: tiles of 32x32 pixels in rows of 25); CIFAR-10 only as mosaics. Both give the same
files: the images of a class are sorted by the SHA-256 of their pixels, and ``--per-class`` takes the first
ones. ``OUT/manifest.json`` has a SHA-256 of all pixels and names to compare two slices. "val" is
the source's test set.
"""

import argparse
import glob
import hashlib
import json
import os
import shutil
import sys
import tempfile

import numpy as np
from PIL import Image

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from hsakd_mm.datasets.images import unreadable
from hsakd_mm.engine.launch import user_errors
from hsakd_mm.errors import UserError

SPLITS = dict(train='train', val='test')  # ours: CIFAR-100's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', help='folder with cifar-100-python, or with the mosaics')
    parser.add_argument('--out', default='data/cifar100_slice', help='default: %(default)s')
    parser.add_argument(
        '--classes',
        nargs='+',
        default=['0-9'],
        metavar='CLASS',
        help='names, numbers in alphabetical order, or ranges of numbers (default: 0-9)',
    )
    parser.add_argument('--per-class', type=int, metavar='N', help='training images per class (default: all 500)')
    args = parser.parse_args()
    with user_errors('interrupted: nothing was written; run the same command again.'):
        manifest = convert(args.source, args.out, args.classes, args.per_class)
        print(
            f'{manifest["train"]} training and {manifest["val"]} validation images of '
            f'{len(manifest["classes"])} classes in {args.out}; SHA-256 of their pixels '
            f'{manifest["content_sha256"]}'
        )


def convert(source: str, out: str, classes: list, per_class: int | None = None) -> dict:
    """Write all images or nothing; returns the manifest.

    Raises:
        UserError: CIFAR-100 is not in ``source``, a class is unknown, or ``out`` is not empty.
    """
    if per_class is not None and per_class < 1:
        raise UserError(f'--per-class takes a number of 1 or more, and it is {per_class}.')
    if os.path.lexists(out) and not (os.path.isdir(out) and not os.listdir(out)):
        raise UserError(f'the folder {out} exists and is not empty: delete it, or choose another one with --out.')
    read = _original if os.path.isdir(os.path.join(source, 'cifar-100-python')) else _mosaics
    parent = os.path.dirname(os.path.abspath(out))
    os.makedirs(parent, exist_ok=True)
    temporary = tempfile.mkdtemp(prefix='.cifar100-', dir=parent)
    try:
        manifest = _write(temporary, *read(source), classes, per_class)
        os.chmod(temporary, 0o755)  # mkdtemp's own is private
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def choose(wanted: list, names: list) -> list:
    """Class names, in the dataset's order, for names, numbers and ranges: ``['0-9', 'whale']``."""
    chosen = set()
    for word in wanted:
        first, dash, last = word.partition('-')
        if word in names:
            chosen.add(word)
        elif first.isdecimal() and (last.isdecimal() or not dash) and (int(first) <= int(last or first) < len(names)):
            chosen.update(names[int(first) : int(last or first) + 1])
        else:
            raise UserError(
                f'--classes takes names of CIFAR-100 (such as {names[0]}), numbers of '
                f'0 to {len(names) - 1}, or ranges of them, and one is {word!r}: correct it.'
            )
    return [name for name in names if name in chosen]


def _write(folder: str, names: list, images_of, wanted: list, per_class: int | None) -> dict:
    """``images_of(split, name)`` returns ``uint8 [n, 32, 32, 3]``; ``names`` are all classes."""
    chosen, content, counts = choose(wanted, names), hashlib.sha256(), {}
    for split, theirs in SPLITS.items():
        counts[split] = 0
        for name in chosen:
            # Sorted by their pixels, because the order differs between the sources.
            images = sorted(images_of(theirs, name), key=lambda image: hashlib.sha256(image.tobytes()).digest())
            images = images[:per_class] if split == 'train' else images
            os.makedirs(os.path.join(folder, split, name))
            for number, image in enumerate(images):
                path = f'{split}/{name}/{number:03d}.png'
                Image.fromarray(image).save(os.path.join(folder, path))
                content.update(f'{path}\0'.encode() + image.tobytes())
            counts[split] += len(images)
    manifest = dict(
        set='CIFAR-100' if len(names) > 10 else 'CIFAR-10',
        classes=chosen,
        per_class=per_class,
        **counts,
        content_sha256=content.hexdigest(),
    )
    with open(os.path.join(folder, 'manifest.json'), 'w') as file:
        json.dump(manifest, file, indent=1)
    return manifest


def _original(source: str) -> tuple:
    from torchvision.datasets import CIFAR100

    try:
        sets = {split: CIFAR100(source, train=split == 'train') for split in SPLITS.values()}
    except RuntimeError as error:  # a file is missing or is not the one of the checksum
        raise UserError(
            f'the original files of CIFAR-100 were expected in {source}/cifar-100-python, and one is missing or '
            f'changed: unpack the archive again.'
        ) from error
    names = sets['train'].classes

    def images_of(split: str, name: str) -> np.ndarray:
        return sets[split].data[np.array(sets[split].targets) == names.index(name)]

    return names, images_of


def _mosaics(source: str) -> tuple:
    folders = dict(train='train', test='test' if os.path.isdir(os.path.join(source, 'test')) else 'val')
    files = {
        split: {
            os.path.basename(path).partition('_')[2].removesuffix('.webp'): path
            for path in sorted(glob.glob(os.path.join(source, folder, '*_*.webp')))
        }
        for split, folder in folders.items()
    }
    if not files['train'] or list(files['train']) != list(files['test']):
        raise UserError(
            f'cifar-100-python, or train and test with the same mosaics NN_name.webp, '
            f'were expected in {source}, and there is neither: name the folder that '
            f'holds them.'
        )

    def images_of(split: str, name: str) -> np.ndarray:
        path = files[split][name]
        try:
            mosaic = np.asarray(Image.open(path).convert('RGB'))
        except Exception as error:  # a decoder has many ways to fail on bad bytes
            raise unreadable(path, error) from error
        if mosaic.shape[1] != 800 or mosaic.shape[0] % 32:
            raise UserError(
                f'tiles of 32x32 pixels in rows of 25 were expected in {path}, and it '
                f'has {mosaic.shape[1]}x{mosaic.shape[0]} pixels: download it again.'
            )
        tiles = mosaic.reshape(-1, 32, 25, 32, 3).swapaxes(1, 2)
        return tiles.reshape(-1, 32, 32, 3)

    return list(files['train']), images_of


if __name__ == '__main__':
    main()
