"""The last transform of a pipeline: makes what the collate function stacks."""

import numpy as np
import torch
from torch import Tensor

from hsakd_mm.errors import UserError
from hsakd_mm.registry import TRANSFORMS


def image_of(results: dict, transform):
    """The image of a sample, or UserError where none is loaded."""
    if 'img' not in results:
        raise UserError(
            f'{transform} expects an image, and the sample has {", ".join(results)}: begin the pipeline with LoadImage.'
        )
    return results['img']


@TRANSFORMS.register_module()
class PackInputs:
    """Packs ``img`` (RGB, PIL or uint8 tensor) and ``gt_label`` as the models expect them.

    Returns ``dict(inputs=uint8 Tensor [3, H, W], labels=int)``. Images stay uint8: the model's
    data preprocessor normalises them on the device. A sample without ``gt_label`` has no ``labels``, and the model
    gets None for those of its batch.

    Args:
        with_index (bool): Add ``indices=int``, the index of the image in the dataset
            (``sample_idx``), for methods with a memory of single images, such as CRD.

    Raises:
        UserError: The image is not uint8 with 3 channels.
    """

    def __init__(self, with_index: bool = False) -> None:
        self.with_index = with_index

    def __call__(self, results: dict) -> dict:
        image = image_of(results, 'PackInputs')
        if not isinstance(image, Tensor):
            image = torch.from_numpy(np.array(image))
            image = image.permute(2, 0, 1) if image.ndim == 3 else image[None]
        if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != 3:
            raise UserError(
                f'PackInputs expects a uint8 image of 3 channels, and the pipeline '
                f'gave it {image.dtype} {list(image.shape)}: leave out transforms '
                f'that normalise the image or change its channels.'
            )
        packed = dict(inputs=image.contiguous())
        if 'gt_label' in results:
            packed['labels'] = results['gt_label']
        if self.with_index:
            packed['indices'] = results['sample_idx']
        return packed
