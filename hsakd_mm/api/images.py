"""Batches as PyTorch's loaders give them: taken apart, checked, and normalised as a network was trained."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.base import BaseDistiller

# Of floating-point images, which are expected in 0..1: a bicubic resize goes a little beyond, normalised ones further.
LOWEST, HIGHEST = -0.25, 1.25
FORMAT = 'images [B, 3, H, W], RGB, as uint8 in 0..255 or floating point in 0..1'


class Batch(NamedTuple):
    """What a loader gives for a step."""

    images: Tensor
    labels: Tensor | None = None
    indices: Tensor | None = None


def take_apart(batch) -> Batch:
    """Images, labels and indices of a loader's batch.

    Args:
        batch: ``(images, labels)``, ``(images, labels, indices)``, images alone, or hsakd_mm's own
            ``dict(inputs=..., labels=..., indices=...)``.

    Raises:
        UserError: It is something else.
    """
    if isinstance(batch, Tensor):
        return Batch(batch)
    if isinstance(batch, Mapping) and 'inputs' in batch:
        return Batch(batch['inputs'], batch.get('labels'), batch.get('indices'))
    if isinstance(batch, tuple | list) and 1 <= len(batch) <= 3:
        return Batch(*batch)
    found = f'a dict of {", ".join(map(str, batch))}' if isinstance(batch, Mapping) else f'a {type(batch).__name__}'
    if isinstance(batch, tuple | list):
        found += f' of {len(batch)}'
    raise UserError(
        f'a batch (images, labels) was expected of the loader, and it is {found}: take it apart yourself, and call the '
        f'distillation with images and labels.'
    )


def check_images(images: Tensor, values: bool) -> None:
    """Check type, shape and, where ``values`` is set, range of images.

    Raises:
        UserError: They are not of :data:`FORMAT`.
    """
    if not isinstance(images, Tensor):
        raise UserError(
            f'{FORMAT} were expected, and there is a {type(images).__name__}: end the transforms with ToTensor() or '
            f'PILToTensor().'
        )
    shape = list(images.shape)
    if images.ndim != 4 or images.shape[1] != 3:
        cure = 'images.expand(-1, 3, -1, -1) makes three channels of one, images.permute(0, 3, 1, 2) moves them.'
        cure = 'images.unsqueeze(0) makes a batch of one image.' if images.ndim == 3 else cure
        raise UserError(f'{FORMAT} were expected, and their shape is {shape}: {cure}')
    if not len(images):
        raise UserError(f'{FORMAT} were expected, and the batch is empty, {shape}: leave it out.')
    if images.dtype == torch.uint8:
        return
    if not images.is_floating_point():
        raise UserError(f'{FORMAT} were expected, and they are {images.dtype}: convert them with .to(torch.uint8).')
    if not values:
        return
    low, high = (float(value) for value in images.detach().aminmax())
    if not (low >= LOWEST and high <= HIGHEST):  # NaN too
        cure = 'leave out Normalize(), since each network normalises its images as it was trained.'
        cure = 'divide them by 255, or leave them in uint8.' if high > 10 else cure
        raise UserError(f'{FORMAT} were expected, and they are from {low:.3g} to {high:.3g}: {cure}')


def check_labels(labels: Tensor | None, images: Tensor, num_classes: int, values: bool, soft: bool) -> Tensor | None:
    """Labels ``[B]`` as int64, or, where ``soft``, probabilities ``[B, N]``; with ``values`` the classes are checked.

    Raises:
        UserError: They are no class numbers of these images.
    """
    if labels is None:
        return None
    what = f'labels [{len(images)}], whole numbers from 0 to {num_classes - 1},'
    if not isinstance(labels, Tensor):
        raise UserError(f'{what} were expected, and there is a {type(labels).__name__}: make a tensor of them.')
    if soft and labels.is_floating_point() and labels.shape == (len(images), num_classes):
        return labels
    whole = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    if labels.shape != images.shape[:1] or not whole:
        raise UserError(
            f'{what} were expected, and they are {labels.dtype} {list(labels.shape)}: give the number of the class of '
            f'each image{soft * ", or probabilities [B, N]"}.'
        )
    if values:
        low, high = (int(value) for value in labels.aminmax())
        if low < 0 or high >= num_classes:
            raise UserError(
                f'{what} were expected, and they are from {low} to {high}: build the networks with num_classes='
                f'{max(high + 1, 1)}, or correct the labels.'
            )
    return labels.long()


class ImageModule(nn.Module):
    """A module with a model inside, which normalises the images that it is given.

    Values of batches on the CPU are checked each time, of those on a GPU only the first, since each check waits for it.

    Attributes:
        model (BaseDistiller): Computes on normalised images.
        model_config (dict): What ``MODELS`` builds it from.
        classes (tuple[str] | None): Names of the classes in order, which files get.
    """

    model: BaseDistiller
    model_config: dict
    classes: tuple[str, ...] | None = None

    def __init__(self) -> None:
        super().__init__()
        self._checked = False

    @property
    def num_classes(self) -> int:
        """N."""
        return self.model.num_classes

    @property
    def mean(self) -> list[float]:
        """Of the images that the network takes, RGB, in units of 0..255."""
        return self.model.data_preprocessor.mean.flatten().tolist()

    @property
    def std(self) -> list[float]:
        """As :attr:`mean`."""
        return self.model.data_preprocessor.std.flatten().tolist()

    def prepared(self, images: Tensor, labels: Tensor | None = None, indices: Tensor | None = None) -> dict:
        """``dict(inputs=, labels=, indices=)`` on the model's device: images normalised, all checked."""
        if not torch.compiler.is_compiling():
            check_images(images, not self._checked or _on_cpu(images))
            soft = self.model.takes_soft_labels
            labels = check_labels(labels, images, self.num_classes, not self._checked or _on_cpu(labels), soft)
            if not self._checked:
                self._check_devices()
            self._checked = True
        preprocessor = self.model.data_preprocessor
        if images.is_floating_point():
            images = images.to(preprocessor.mean.dtype) * 255
        return preprocessor(dict(inputs=images, labels=labels, indices=indices), self.training)

    def _check_devices(self) -> None:
        devices = sorted({str(parameter.device) for parameter in self.model.parameters()})
        if len(devices) > 1:
            raise UserError(
                f'one device was expected, and parts of {type(self.model).__name__} are on {" and ".join(devices)}: '
                f'call .to(device) of the distillation, which moves all networks.'
            )

    def _apply(self, fn: Callable, recurse: bool = True):
        super()._apply(fn, recurse)
        self.model._set_device(next(self.model.parameters()).device)  # mmengine's preprocessors do not look themselves
        return self


def _on_cpu(value) -> bool:
    return not isinstance(value, Tensor) or value.device.type == 'cpu'
