"""Reads image files as upright 8-bit RGB; errors name the file and the reason.

Cameras store a photograph as the sensor saw it, and its orientation in an EXIF tag. :func:`read_rgb`
turns the image as the tag says, because a pretext task that predicts rotations would otherwise learn
that sideways photographs are upright, and because OpenCV, with which MMDetection reads images, turns
them too. Images without a tag are not changed.
"""

import struct
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from hsakd_mm.errors import UserError

FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF', 'PPM')

NON_RGB = ('error', 'convert')

ORIENTATION = 0x0112  # EXIF tag
_TURNS = {  # what makes an image with this orientation upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SYSTEM_FILES = ('thumbs.db', 'ehthumbs.db', 'desktop.ini', 'icon\r', '__macosx')

_KINDS = {
    '1': 'black and white',
    'L': 'greyscale',
    'LA': 'greyscale with transparency',
    'P': 'of a palette',
    'PA': 'of a palette',
}


class UnreadableImage(UserError):
    """A file that is missing, truncated or no image; others can be read in its place."""


def read_rgb(
    path: str, non_rgb: str = 'error', reduction: Callable[[tuple[int, int]], int] | None = None
) -> Image.Image:
    """Decode an image file, and turn it upright.

    Args:
        path (str): The file.
        non_rgb (str): 'error' rejects images that are not 8-bit RGB, 'convert' converts them
            (:func:`to_rgb`).
        reduction (Callable, optional): Given the upright width and height, by how much (1, 2, 4 or 8) both may be
            divided. A JPEG is then decoded at that size, in a fraction of the time; other formats are not reduced.

    Returns:
        PIL.Image.Image: Mode RGB, loaded.

    Raises:
        UserError: The file is not an image or truncated, or not 8-bit RGB and ``non_rgb='error'``.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            check_kind(image, path, non_rgb)
            if reduction is not None:
                _reduce(image, reduction)
            return upright(to_rgb(image), image)
    except UserError:
        raise
    except Exception as error:  # a decoder has many ways to fail on bad bytes
        raise unreadable(path, error) from error


def _reduce(image: Image.Image, reduction: Callable[[tuple[int, int]], int]) -> None:
    (width, height), turned = image.size, orientation(image.info.get('exif', b'')) >= 5
    factor = reduction((height, width) if turned else (width, height))
    if factor > 1 and image.format == 'JPEG':
        image.draft(image.mode, (width // factor, height // factor))


def upright(pixels: Image.Image, opened: Image.Image) -> Image.Image:
    """Turn ``pixels`` as the orientation of the image that they were loaded from says."""
    turn = _TURNS.get(orientation(opened.info.get('exif', b'')))  # PIL turns a TIFF itself
    return pixels if turn is None else pixels.transpose(turn)


def orientation(exif: bytes) -> int:
    """The orientation, 1 to 8, in the bytes of an EXIF block, read as OpenCV does; 1 if there is none.

    PIL's ``getexif`` would also take it from XMP metadata, which OpenCV does not know.
    """
    data = exif.removeprefix(b'Exif\0\0')
    order = {b'II': '<', b'MM': '>'}.get(data[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f'{order}I', data, 4)
        (entries,) = struct.unpack_from(f'{order}H', data, start)
        for number in range(entries):
            tag, _, _, value = struct.unpack_from(f'{order}HHIH', data, start + 2 + 12 * number)
            if tag == ORIENTATION:
                return value if value in range(1, 9) else 1
    except struct.error:  # the block is cut off
        pass
    return 1


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden or of an operating system, such as ``._a.jpg`` or ``Thumbs.db``."""
    return name.startswith('.') or name.lower() in _SYSTEM_FILES


def check_kind(image: ImageFile.ImageFile, path: str, non_rgb: str) -> None:
    """Reject an opened image, by its header, if it is not 8-bit RGB and may not be converted."""
    kind = _kind(image)
    if kind is None or (non_rgb == 'convert' and kind != '32-bit'):
        return
    remedy = (
        'save it with 8 bits a channel'
        if kind == '32-bit'
        else "set `non_rgb='convert'` on the dataset, or convert or remove the file"
    )
    raise UserError(f'an 8-bit RGB image was expected at {path}, and the file is {kind} (mode {image.mode}): {remedy}.')


def to_rgb(image: Image.Image) -> Image.Image:
    """Load an opened image as 8-bit RGB.

    Greyscale is replicated. CMYK is converted by PIL, which undoes Adobe's inversion. Transparent
    pixels are blended with white, as in a viewer. 16 bits are scaled to 8 (65535 becomes 255); PIL's
    own conversion of 16-bit greyscale would clip.
    """
    if image.mode == 'RGB':
        image.load()
        return image
    if image.mode.startswith('I'):
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert('RGB')
    if image.mode in ('LA', 'PA', 'RGBA', 'La', 'RGBa') or 'transparency' in image.info:
        image = image.convert('RGBA')
        return Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image).convert('RGB')
    return image.convert('RGB')


def unreadable(path: str, error: Exception) -> UnreadableImage:
    """The error for a file that failed to open or to decode."""
    if isinstance(error, UnidentifiedImageError):
        reason = f'not one of {", ".join(FORMATS)}, or empty'
    else:
        reason = getattr(error, 'strerror', None) or ' '.join(str(error).split())[:160]
    return UnreadableImage(
        f'an image was expected at {path}, and it cannot be decoded '
        f'({reason or type(error).__name__}): replace the file or remove it.'
    )


def _kind(image: ImageFile.ImageFile) -> str | None:
    """The kind of an opened, not yet loaded image that is not 8-bit RGB; None if it is.

    PIL opens 16-bit colour as mode RGB; only the decoder's raw mode (RGB;16B) shows the difference.
    """
    if any(';16' in str(tile[3]) for tile in image.tile):
        return '16-bit'
    if image.mode in ('I', 'F'):
        return '32-bit'
    return None if image.mode == 'RGB' else _KINDS.get(image.mode, image.mode)
