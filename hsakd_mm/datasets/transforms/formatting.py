"""The end of a pipeline: what the collate function stacks."""

import numpy as np
import torch
from torch import Tensor

from hsakd_mm.errors import UserError
from hsakd_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackInputs:
    """``img`` (RGB, PIL or uint8 tensor) and ``gt_label`` -> what the models take.

    Returns ``dict(inputs=uint8 Tensor [3, H, W], labels=int)``. Images stay in bytes: the model's
    preprocessor normalises them, on the device.

    Args:
        with_index (bool): Also ``indices=int``, the image's place in the data set
            (``sample_idx``), for methods that remember single images, such as CRD.

    Raises:
        UserError: The pipeline made something else of the image.
    """

    def __init__(self, with_index: bool = False) -> None:
        self.with_index = with_index

    def __call__(self, results: dict) -> dict:
        image = results['img']
        if not isinstance(image, Tensor):
            image = torch.from_numpy(np.array(image))
            image = image.permute(2, 0, 1) if image.ndim == 3 else image[None]
        if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != 3:
            raise UserError(
                f'PackInputs expects a uint8 image of 3 channels, and the pipeline '
                f'gave it {image.dtype} {list(image.shape)}: leave out transforms '
                f'that normalise the image or change its channels.'
            )
        packed = dict(inputs=image.contiguous(), labels=results['gt_label'])
        if self.with_index:
            packed['indices'] = results['sample_idx']
        return packed
