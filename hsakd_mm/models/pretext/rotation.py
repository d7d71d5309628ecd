"""The rotation pretext task of HSAKD: four views of an image, labels joint with the class."""

import torch
from torch import Tensor

from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS


@MODELS.register_module()
class Rotation:
    """Rotations by 0, 90, 180 and 270 degrees, and the joint label ``y·M + j``.

    The views of an image are consecutive rows: row ``i·M + j`` is image i rotated by j · 90 degrees,
    as in ``train_student_imagenet.py`` of winycg/HSAKD.
    """

    num_views = 4  # M in the paper

    def expand(self, images: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> ``[B·M, C, H, W]``; H = W, or UserError."""
        if images.shape[2] != images.shape[3]:
            raise UserError(
                f'the rotations of an image are put into one batch, so images must be '
                f'square, and these are {list(images.shape[2:])}: crop them, for '
                f'example with torchvision/RandomResizedCrop.'
            )
        views = [torch.rot90(images, turns, (2, 3)) for turns in range(self.num_views)]
        rows = torch.stack(views, 1).flatten(0, 1)
        if images.is_contiguous(memory_format=torch.channels_last):  # stacking forgets it
            rows = rows.contiguous(memory_format=torch.channels_last)
        return rows

    def unrotated(self, rows: Tensor) -> Tensor:
        """The rows of the unrotated images: ``[B·M, ...]`` -> ``[B, ...]``."""
        return rows[:: self.num_views]

    def joint_labels(self, labels: Tensor) -> Tensor:
        """``[B]`` -> ``[B·M]``, in the order of :meth:`expand`."""
        views = torch.arange(self.num_views, device=labels.device)
        return (labels[:, None] * self.num_views + views).flatten()

    def class_logits(self, joint_logits: Tensor) -> Tensor:
        """Joint logits ``[R, N·M]`` -> class logits ``[R, N]``: the sum over an image's views.

        The reference code sums logits, not probabilities.
        """
        return joint_logits.unflatten(1, (-1, self.num_views)).sum(2)
