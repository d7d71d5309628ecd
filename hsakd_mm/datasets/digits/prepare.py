"""Writes the demo datasets: the same files from one seed on every machine, checked by hash.

* ``digits/{train,val,test}/{0..9}/<index>.png``: one image of each of the 1,797 digits.
* ``scenes/{train,test}/*.png`` with ``scenes/{train,test}.json`` in COCO format: several digits in
  one image. ``digit_index`` of an annotation is the index of its digit.

Each digit, and each part of a photograph, belongs to the same split in both tasks, so that test
images contain nothing that was seen in training. :mod:`.drawing` draws the images.
"""

import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile

import numpy as np
from PIL import Image

from hsakd_mm.errors import UserError

from .drawing import SPLITS, Source, draw_digit_image, draw_scene, load_source

# SHA-256 of seed 0 with numpy 2.4, Pillow 13 and scikit-learn 1.9. Another JPEG decoder may differ
# in the last bits of a photograph; the manifest then says so.
REFERENCE = 'c3138068f987ee3a86af005849905d3db20fd05870eb0d2ab13da97080646c30'

MANIFEST = 'manifest.json'
_AGAIN = 'delete the folder and run again'
_VERSION = 1  # increase it when the images change


def prepare_demo_data(out: str, seed: int = 0, train_scenes: int = 240, test_scenes: int = 120) -> dict:
    """Write the demo datasets to ``out``, or check them if they exist.

    Everything is written to a temporary folder, which is renamed to ``out`` at the end: an
    interrupted call leaves no incomplete dataset.

    Args:
        out (str): Folder that does not exist, is empty, or was written by an earlier call.
        seed (int): Seed of the split and of all drawing.
        train_scenes, test_scenes (int): Number of images for detection.

    Returns:
        dict: The manifest, also at ``out/manifest.json``: ``seed``, ``parameters``, ``libraries``,
        ``counts``, ``split`` (digit indices), ``content_sha256`` over pixels and annotations,
        ``matches_reference``, and ``files`` (SHA-256 of each).

    Raises:
        UserError: ``out`` has other content, a file is changed, missing or extra, scikit-learn is
            not installed, or writing failed. Nothing on disk is changed then.
    """
    if seed < 0:
        raise UserError(f'a seed of 0 or more was expected, and it is {seed}: choose another.')
    wanted = dict(version=_VERSION, seed=seed, parameters=dict(train_scenes=train_scenes, test_scenes=test_scenes))
    if os.path.lexists(out) and not (os.path.isdir(out) and not os.listdir(out)):
        return _check(out, wanted)
    source = load_source(seed)
    parent = os.path.dirname(os.path.abspath(out))
    temporary = None
    try:
        os.makedirs(parent, exist_ok=True)
        temporary = tempfile.mkdtemp(prefix='.demo-data-', dir=parent)
        manifest = _write(temporary, source, wanted)
        os.chmod(temporary, 0o755)  # mkdtemp's own is private
        os.replace(temporary, out)
    except OSError as error:
        raise UserError(
            f'the demo data could not be written to {out} ({error.strerror}): make '
            f'room or choose another folder with --out.'
        ) from error
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
    print(f'wrote {len(manifest["files"])} files to {out}', flush=True)
    return manifest


def _write(folder: str, source: Source, wanted: dict) -> dict:
    """Draw and write everything into an empty folder; returns the manifest."""
    content, files = hashlib.sha256(), {}

    def save(name: str, pixels: np.ndarray | None = None, text: str = '') -> None:
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if pixels is not None:
            Image.fromarray(pixels).save(path)
        else:
            with open(path, 'w', newline='\n') as file:
                file.write(text)
        content.update(f'{name}\0'.encode())
        content.update(pixels.tobytes() if pixels is not None else text.encode())
        files[name] = _sha256(path)

    seed, parameters = wanted['seed'], wanted['parameters']
    counts = {}
    for split in SPLITS:
        indices = source.split[split]
        print(f'drawing {len(indices)} digits for {split}', flush=True)
        for index in indices:
            pixels = draw_digit_image(source, index, split, np.random.default_rng([seed, 1, index]))
            save(f'digits/{split}/{source.labels[index]}/{index:04d}.png', pixels)
        counts[f'digits/{split}'] = len(indices)
    for stream, split in ((2, 'train'), (3, 'test')):
        number = parameters[f'{split}_scenes']
        print(f'drawing {number} scenes for {split}', flush=True)
        coco = _scenes(source, split, number, np.random.default_rng([seed, stream]), save)
        save(f'scenes/{split}.json', text=json.dumps(coco))
        counts[f'scenes/{split}'] = number
        counts[f'scenes/{split} boxes'] = len(coco['annotations'])
    libraries = {name: importlib.metadata.version(name) for name in ('numpy', 'pillow', 'scikit-learn')}
    manifest = dict(
        wanted,
        libraries=libraries,
        counts=counts,
        split=source.split,
        content_sha256=content.hexdigest(),
        matches_reference=content.hexdigest() == REFERENCE,
        files=files,
    )
    with open(os.path.join(folder, MANIFEST), 'w') as file:
        json.dump(manifest, file, indent=1)
    return manifest


def _scenes(source: Source, split: str, number: int, rng: np.random.Generator, save) -> dict:
    """Draw a split's scenes; returns their COCO annotations.

    Digits come from a shuffled deck, which is renewed when too few are left.
    """
    images, annotations, deck = [], [], []
    for image_id in range(1, number + 1):
        wanted = int(rng.integers(2, 6))
        if len(deck) < wanted:
            deck = [source.split[split][place] for place in rng.permutation(len(source.split[split]))]
        hand = [deck.pop() for _ in range(wanted)]
        pixels, drawn = draw_scene(source, hand, split, rng)
        name = f'{image_id:06d}.png'
        save(f'scenes/{split}/{name}', pixels)
        images.append(dict(id=image_id, file_name=name, height=pixels.shape[0], width=pixels.shape[1], license=1))
        annotations += [
            dict(
                id=len(annotations) + place,
                image_id=image_id,
                iscrowd=0,
                category_id=int(source.labels[box.digit]) + 1,
                digit_index=box.digit,
                bbox=[box.x, box.y, box.width, box.height],
                area=box.width * box.height,
            )
            for place, box in enumerate(drawn, 1)
        ]
    return dict(
        info=dict(
            description='Handwritten digits (UCI optical recognition of handwritten digits, '
            'CC BY 4.0) on photographs, both as shipped by scikit-learn'
        ),
        licenses=[
            dict(
                id=1,
                name='CC BY 2.0, photographs: danielbuechele (china.jpg) and vultilion (flower.jpg) on flickr.com',
                url='https://creativecommons.org/licenses/by/2.0/',
            )
        ],
        categories=[dict(id=digit + 1, name=str(digit), supercategory='digit') for digit in range(10)],
        images=images,
        annotations=annotations,
    )


def _check(out: str, wanted: dict) -> dict:
    """Compare ``out`` with its manifest, file by file, and with the requested parameters."""
    try:
        with open(os.path.join(out, MANIFEST)) as file:
            manifest = json.load(file)
        files, found = manifest['files'], {key: manifest[key] for key in wanted}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f'demo data was expected in {out}, and there is no readable {MANIFEST} in '
            f'it: choose another folder with --out, or {_AGAIN}.'
        ) from error
    if found != wanted:
        key = next(key for key in wanted if found[key] != wanted[key])
        raise UserError(
            f'demo data with {key} {wanted[key]} was asked for, and {out} holds '
            f'{key} {found[key]}: choose another folder with --out, or {_AGAIN}.'
        )
    for name, digest in files.items():
        path = os.path.join(out, name)
        if not os.path.isfile(path):
            raise UserError(f'the demo data in {out} is not as it was written, {path} is missing: {_AGAIN}.')
        if _sha256(path) != digest:
            raise UserError(f'the demo data in {out} is not as it was written, {path} was changed: {_AGAIN}.')
    for folder, _, names in os.walk(out):
        for name in names:
            path = os.path.join(folder, name)
            inside = os.path.relpath(path, out).replace(os.sep, '/')
            if not name.startswith('.') and inside != MANIFEST and inside not in files:
                raise UserError(f'the demo data in {out} is not as it was written, {path} was added: {_AGAIN}.')
    print(f'{len(files)} files in {out} are as they were written: nothing to do', flush=True)
    return manifest


def _sha256(path: str) -> str:
    with open(path, 'rb') as file:
        return hashlib.sha256(file.read()).hexdigest()
