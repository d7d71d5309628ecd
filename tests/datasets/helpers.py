"""Small image folders to try things on."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def picture(mode: str = 'RGB', size: tuple[int, int] = (20, 16), seed: int = 0) -> Image.Image:
    """Random smooth content, (width, height) pixels."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).convert(mode)


def image_folder(root: Path, classes=('ant', 'bee'), each: int = 2) -> Path:
    """``root/<class>/<n>.png`` and, for odd n, ``.jpg``."""
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(each):
            picture(seed=10 * label + number).save(root / name / f'{number}.{"jpg" if number % 2 else "png"}')
    return root


def write_png16(path: Path, values: np.ndarray) -> None:
    """16-bit RGB, which PIL cannot write. ``values``: uint16 [H, W, 3]."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in values)
    header = struct.pack('>IIBBBBB', values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')
    )
