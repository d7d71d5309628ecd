"""Draws handwritten digits on photographs: the images of the demo datasets.

Both are part of scikit-learn: the 1,797 digits of 8x8 points of ``load_digits`` (UCI, test part of
the optical recognition dataset) and its two sample photographs. The images depend on the seed only.
Statistics are sums of integers, and only + - * / and Pillow's resampling are used, because sums and
powers of floats differ in their last bits between machines.
"""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from hsakd_mm.errors import UserError

SPLITS = ('train', 'val', 'test')
_SHARES = dict(train=1000 / 1797, val=300 / 1797)  # of each class; test has the rest
# Columns of the photographs, 640 wide: the splits have no background in common.
_STRIPS = dict(train=(0, 352), val=(352, 432), test=(432, 640))
_LUMA = np.array([299, 587, 114])  # thousandths
_INK = 0.3  # minimum opacity of the points in a digit's box


class Source(NamedTuple):
    """Digits and photographs; ``split[name]`` has indices into ``digits``."""

    digits: np.ndarray  # uint8 [1797, 8, 8], 0..16
    labels: np.ndarray  # int [1797]
    photos: list  # of uint8 [427, 640, 3]
    split: dict[str, list[int]]


class Drawn(NamedTuple):
    """A digit in a scene: its index, and the bounding box of its ink in whole pixels."""

    digit: int  # index into Source.digits
    x: int
    y: int
    width: int
    height: int


def load_source(seed: int) -> Source:
    """Load scikit-learn's digits and photographs, and split the digits.

    Raises:
        UserError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits, load_sample_images
    except ImportError as error:
        raise UserError(
            "the demo data is made from scikit-learn's digits, and scikit-learn is "
            "not installed: run pip install -e '.[demo]' in the checkout of hsakd_mm."
        ) from error
    data = load_digits()
    digits, labels = data.images.astype(np.uint8), data.target.astype(int)
    return Source(digits, labels, load_sample_images().images, split_digits(digits, labels, seed))


def split_digits(digits: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, list[int]]:
    """Split the digits into train, val and test, class by class. Equal images stay together.

    Returns:
        dict[str, list[int]]: Sorted indices of each split.
    """
    rng = np.random.default_rng([seed, 0])
    groups = defaultdict(list)
    for index, digit in enumerate(digits):
        groups[digit.tobytes()].append(index)
    by_class = defaultdict(list)
    for group in groups.values():
        by_class[int(labels[group[0]])].append(group)
    split = {name: [] for name in SPLITS}
    for label in sorted(by_class):
        own = by_class[label]
        total, taken = sum(map(len, own)), 0
        train_end = round(total * _SHARES['train'])
        val_end = round(total * (_SHARES['train'] + _SHARES['val']))
        for place in rng.permutation(len(own)):
            name = 'train' if taken < train_end else 'val' if taken < val_end else 'test'
            split[name] += own[place]
            taken += len(own[place])
    return {name: sorted(indices) for name, indices in split.items()}


def draw_digit_image(source: Source, index: int, split: str, rng: Generator, size: int = 32) -> np.ndarray:
    """Draw one digit on a crop of a photograph, ``uint8 [size, size, 3]``."""
    image = _background(source, split, rng, size, (24, 80))
    stroke = _stroke(source.digits[index], rng.uniform(0.56, 0.88) * size, rng)
    height, width = stroke.shape
    x, y = (int(rng.integers(0, max(1, size - extent + 1))) for extent in (width, height))
    image = _paint(image, stroke[: size - y, : size - x], x, y, rng)
    return _finish(image, rng)


def draw_scene(
    source: Source, indices: list[int], split: str, rng: Generator, size: int = 128
) -> tuple[np.ndarray, list[Drawn]]:
    """Draw digits of different sizes on a crop of a photograph.

    Returns:
        tuple: ``uint8 [size, size, 3]``, and the digits drawn. No box covers more than a tenth of
        another. A digit is left out if no place is found for it; the first one always has a place.
    """
    image = _background(source, split, rng, size, (96, 176))
    heights = sorted((14 + 34 * rng.random() ** 2 for _ in indices), reverse=True)  # mostly small
    boxes: list[Drawn] = []
    for index, height in zip(indices, heights):
        stroke = _stroke(source.digits[index], height, rng)
        for _ in range(50):
            x, y = (int(rng.integers(1, size - extent)) for extent in stroke.shape[::-1])
            box = Drawn(index, x, y, stroke.shape[1], stroke.shape[0])
            if all(_covered(box, other) <= 0.1 for other in boxes):
                image = _paint(image, stroke, x, y, rng)
                boxes.append(box)
                break
    return _finish(image, rng), boxes


def _background(source: Source, split: str, rng: Generator, size: int, sides: tuple[int, int]) -> np.ndarray:
    """A random crop of a photograph, darker and with less contrast, float [S, S, 3] in 0..255."""
    photo = source.photos[int(rng.integers(len(source.photos)))]
    left, right = _STRIPS[split]
    side = min(int(rng.integers(sides[0], sides[1] + 1)), right - left)
    x = int(rng.integers(left, right - side + 1))
    y = int(rng.integers(0, photo.shape[0] - side + 1))
    # Cropped before it is resized: resampling must not see the columns of another split.
    piece = Image.fromarray(np.ascontiguousarray(photo[y : y + side, x : x + side]))
    piece = piece.resize((size, size), Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.5:
        piece = piece.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.2))))
    pixels = np.asarray(piece).astype(np.int64)
    mean = pixels.sum((0, 1)) / size**2
    dusk = rng.uniform(40, 90) / max(pixels.sum() / pixels.size, 40)
    return np.clip((mean + (pixels - mean) * rng.uniform(0.35, 0.9)) * min(dusk, 1), 0, 255)


def _stroke(digit: np.ndarray, height: float, rng: Generator) -> np.ndarray:
    """A digit's opacity in 0..1, cropped to its ink, about ``height`` pixels high."""
    cell = height / 8 * rng.uniform(0.94, 1.06)  # pixels a point of the digit
    aspect, lean, slope = rng.uniform(0.9, 1.25), rng.uniform(-0.2, 0.2), rng.uniform(-0.12, 0.12)
    side = int(14 * cell) + 2
    step = 1 / cell
    middle = 6 - side / 2 * step  # two empty points around: 12 x 12, its middle stays in the middle
    matrix = (
        step / aspect,
        lean * step,
        6 - side / 2 * step * (1 / aspect + lean),
        slope * step,
        step,
        middle - side / 2 * slope * step,
    )
    points = Image.fromarray(np.pad(digit.astype(np.float32) / 16, 2))
    ink = np.asarray(points.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC))
    low = rng.uniform(0.3, 0.5)  # where a stroke begins: lower is bolder
    opacity = np.clip((ink - low) / 0.3, 0, 1).astype(np.float64)
    rows, columns = (np.flatnonzero((opacity >= _INK).any(axis)) for axis in (1, 0))
    return opacity[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _paint(image: np.ndarray, stroke: np.ndarray, x: int, y: int, rng: Generator) -> np.ndarray:
    """Blend a stroke into the image, in a random colour brighter than the background.

    If some strokes were darker, a half-width ResNet-18 would still be at chance after the demo's 12
    epochs.
    """
    height, width = stroke.shape
    below = image[y : y + height, x : x + width]
    luma = below.astype(np.int64) @ _LUMA // 1000
    mean = luma.sum() / luma.size
    # A textured background needs more contrast to be legible.
    contrast = rng.uniform(90, 170) + 0.6 * np.abs(luma - int(mean)).sum() / luma.size
    hue = rng.integers(0, 256, 3)
    colour = np.clip(mean + contrast + 0.4 * (hue - (hue @ _LUMA) / 1000), 0, 255)
    opacity = stroke[..., None] * rng.uniform(0.8, 1)
    image = image.copy()
    image[y : y + height, x : x + width] = below * (1 - opacity) + colour * opacity
    return image


def _finish(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Add some blur and noise, as of a camera, and convert to uint8."""
    picture = Image.fromarray((image + 0.5).astype(np.uint8))
    if rng.random() < 0.5:
        picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 0.6))))
    noise = int(rng.integers(0, 9))
    pixels = np.asarray(picture).astype(int) + rng.integers(-noise, noise + 1, image.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _covered(one: Drawn, other: Drawn) -> float:
    """Intersection of two boxes over the area of the smaller one: an upper bound of their IoU."""
    wide = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    high = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    smaller = min(one.width * one.height, other.width * other.height)
    return max(wide, 0) * max(high, 0) / smaller
