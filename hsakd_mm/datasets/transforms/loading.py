"""Loads image files."""

from hsakd_mm.datasets.images import UnreadableImage, read_rgb
from hsakd_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImage:
    """Decodes ``results['img_path']`` into ``results['img']``, a PIL image in RGB.

    Of a sample with ``box``, which is ``(left, top, right, bottom)`` in pixels of the upright image, it is that part;
    ``upright_size`` is the width and height that the image then has to have.

    Args:
        non_rgb (str, optional): 'error' or 'convert'. By default the dataset's ``non_rgb``.
    """

    def __init__(self, non_rgb: str | None = None) -> None:
        self.non_rgb = non_rgb

    def __call__(self, results: dict) -> dict:
        non_rgb = self.non_rgb or results.get('non_rgb', 'error')
        image = read_rgb(results['img_path'], non_rgb)
        box = box_of(results, image.size)
        results['img'] = image if box is None else image.crop(box)
        return results


def box_of(results: dict, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The part of an image of this width and height that is the sample; None: all of it.

    Raises:
        UnreadableImage: The image has another size than its annotation says (on its side, say), or the box reaches
            outside: the annotation is of other pixels.
    """
    box = results.get('box')
    stated = results.get('upright_size', size)
    if box is not None and (tuple(stated) != tuple(size) or box[2] > size[0] or box[3] > size[1]):
        raise UnreadableImage(
            f'the box {list(box)} was expected in a picture of {stated[0]} x {stated[1]} pixels, and '
            f'{results["img_path"]} is loaded with {size[0]} x {size[1]} pixels: correct its width, height and boxes '
            f'in the COCO file, or remove it from there.'
        )
    return box
