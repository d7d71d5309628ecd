"""Normalises images on the device, so that only uint8 is copied to it."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor

from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS

from .mixing import BatchMix


@MODELS.register_module()
class ImagePreprocessor(BaseDataPreprocessor):
    """Moves a batch to the device, casts its images to float and normalises them.

    Args:
        mean, std (Sequence[float]): Per channel, RGB, in units of 0..255.
        channels_last (bool): Emit images in NHWC memory order; faster convolutions on GPUs.
        batch_mix (dict): Mix each training step's images, ``dict(type='MixUp', alpha=0.2, num_classes=10)``; see
            :class:`~hsakd_mm.models.mixing.BatchMix`. Labels are then probabilities ``[B, N]``, which a method with
            :attr:`~hsakd_mm.models.distillers.BaseDistiller.takes_soft_labels` learns from.

    Attributes:
        train_size (int, optional): Side in pixels to which square training images are scaled;
            :class:`~hsakd_mm.engine.hooks.ProgressiveResizeHook` sets it.

    Raises:
        UserError: ``mean`` or ``std`` has not three numbers, or one of ``std`` is not positive.
    """

    def __init__(self, mean, std, channels_last: bool = False, batch_mix: dict | None = None) -> None:
        super().__init__(non_blocking=True)
        self.channels_last = channels_last
        self.batch_mix = None if batch_mix is None else BatchMix(**batch_mix)
        self.train_size: int | None = None
        if len(mean) != 3 or len(std) != 3 or not all(value > 0 for value in std):
            raise UserError(
                f'mean and std of an ImagePreprocessor are expected to have three numbers each, those of std above 0, '
                f'and they are {mean} and {std}: set data_preprocessor.mean and data_preprocessor.std.'
            )
        for name, value in (('mean', mean), ('std', std)):
            value = torch.tensor(value, dtype=torch.float32).view(-1, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """``inputs: uint8 [B, 3, H, W]`` -> normalised float; other entries are only moved to the device."""
        if 'inputs' not in data:
            raise UserError(
                f'a batch with inputs was expected, and it has {", ".join(data) or "nothing"}: end the pipeline of the '
                f'dataset with PackInputs.'
            )
        mix = self.batch_mix if training else None
        if mix is not None:
            mix.check(data.get('labels'))
        data = self.cast_data(data)
        inputs = (data['inputs'].to(self.mean.dtype) - self.mean) / self.std
        if training and self.train_size and inputs.shape[2:] != (self.train_size,) * 2:
            inputs = F.interpolate(inputs, (self.train_size,) * 2, mode='bilinear', antialias=True)
        mixed = {}
        if mix is not None:
            inputs, labels = mix(inputs, data.get('labels'))
            mixed = dict(labels=labels) if labels is not None else {}
        if self.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return {**data, **mixed, 'inputs': inputs}
