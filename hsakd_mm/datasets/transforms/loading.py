"""Loads image files."""

from hsakd_mm.datasets.images import read_rgb
from hsakd_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImage:
    """Decodes ``results['img_path']`` into ``results['img']``, a PIL image in RGB.

    Args:
        non_rgb (str, optional): 'error' or 'convert'. By default the dataset's ``non_rgb``.
    """

    def __init__(self, non_rgb: str | None = None) -> None:
        self.non_rgb = non_rgb

    def __call__(self, results: dict) -> dict:
        non_rgb = self.non_rgb or results.get('non_rgb', 'error')
        results['img'] = read_rgb(results['img_path'], non_rgb)
        return results
