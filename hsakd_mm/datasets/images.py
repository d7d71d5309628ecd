"""Image files to 8-bit RGB, or one sentence that says which file is not one, and why."""

import numpy as np
from PIL import Image, UnidentifiedImageError

from hsakd_mm.errors import UserError

FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF', 'PPM')

NON_RGB = ('error', 'convert')

_KINDS = {
    '1': 'black and white',
    'L': 'greyscale',
    'LA': 'greyscale with transparency',
    'P': 'of a palette',
    'PA': 'of a palette',
}


def read_rgb(path: str, non_rgb: str = 'error') -> Image.Image:
    """Decode an image file.

    Args:
        path (str): The file.
        non_rgb (str): 'error' refuses what is not 8-bit RGB, 'convert' converts it: see
            :func:`to_rgb`.

    Returns:
        PIL.Image.Image: Mode RGB, loaded.

    Raises:
        UserError: Not an image, truncated, or not 8-bit RGB where that is refused.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            check_kind(image, path, non_rgb)
            return to_rgb(image)
    except UserError:
        raise
    except Exception as error:  # a decoder has many ways to fail on bad bytes
        raise unreadable(path, error) from error


def check_kind(image: Image.Image, path: str, non_rgb: str) -> None:
    """Refuse an opened image by its header, unless it is 8-bit RGB or may be converted."""
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
    """An opened image as 8-bit RGB, loaded.

    Greyscale is replicated; CMYK goes through PIL, which undoes Adobe's inversion; transparency is
    laid over white, as a viewer shows it; 16 bits are scaled to 8 (65535 becomes 255), where PIL's
    own conversion of greyscale would clip.
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


def unreadable(path: str, error: Exception) -> UserError:
    """The sentence for a file that failed to open or to decode."""
    if isinstance(error, UnidentifiedImageError):
        reason = f'not one of {", ".join(FORMATS)}, or empty'
    else:
        reason = getattr(error, 'strerror', None) or ' '.join(str(error).split())[:160]
    return UserError(
        f'an image was expected at {path}, and it cannot be decoded '
        f'({reason or type(error).__name__}): replace the file or remove it.'
    )


def _kind(image: Image.Image) -> str | None:
    """What an opened, not yet loaded image is, if not 8-bit RGB.

    PIL opens 16-bit colour as mode RGB; only the decoder's raw mode (RGB;16B) tells it apart.
    """
    if any(';16' in str(tile[3]) for tile in image.tile):
        return '16-bit'
    if image.mode in ('I', 'F'):
        return '32-bit'
    return None if image.mode == 'RGB' else _KINDS.get(image.mode, image.mode)
