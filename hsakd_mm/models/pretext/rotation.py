"""The rotation pretext task of HSAKD: four views of an image, labels joint with the class."""

import torch
from torch import Tensor

from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS


@MODELS.register_module()
class Rotation:
    """Rotations by 0, 90, 180 and 270 degrees, and the joint label ``y·M + j``.

    The views of an image are consecutive rows: row ``i·V + v`` is image i rotated by ``turns[v]`` · 90 degrees, of
    V views. With all four, that is the order of ``train_student_imagenet.py`` of winycg/HSAKD.

    Args:
        sampled (int, optional): A training step sees the unrotated images and this many of the three rotations,
            drawn anew in each step, the same for all its images; 1 or 2. The cost of a step falls to (1 + sampled) / 4.
            Means over views are then taken over those that were drawn, so that the unrotated one counts more: a half
            or a third in place of a quarter. Default: all, as in the paper.

    Attributes:
        turns (tuple[int]): The quarter turns of the views, 0 first.
        num_views (int): M of the joint labels, 4 whatever is drawn.
    """

    num_views = 4  # M in the paper

    turns: tuple[int, ...] = (0, 1, 2, 3)

    def __init__(self, sampled: int | None = None) -> None:
        if sampled not in (None, 1, 2):
            raise UserError(
                f'a step sees 1 or 2 of the three rotations, and pretext.sampled is {sampled!r}: leave it out for all.'
            )
        self.sampled = sampled

    def draw(self) -> 'Rotation':
        """The views of one training step. Call it once a step: all its labels and rows belong to one draw."""
        if self.sampled is None:
            return self
        chosen = torch.randperm(self.num_views - 1, device='cpu')[: self.sampled]
        drawn = Rotation()
        drawn.turns = (0, *sorted(1 + turn for turn in chosen.tolist()))
        return drawn

    def all_views(self) -> 'Rotation':
        """The task with all its views, whatever was drawn."""
        return Rotation()

    def expand(self, images: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> ``[B·V, C, H, W]``; H = W, or UserError."""
        if images.shape[2] != images.shape[3]:
            raise UserError(
                f'the rotations of an image are put into one batch, so images must be '
                f'square, and these are {list(images.shape[2:])}: crop them, for '
                f'example with torchvision/RandomResizedCrop.'
            )
        views = [torch.rot90(images, turns, (2, 3)) for turns in self.turns]
        rows = torch.stack(views, 1).flatten(0, 1)
        if images.is_contiguous(memory_format=torch.channels_last):  # stacking forgets it
            rows = rows.contiguous(memory_format=torch.channels_last)
        return rows

    def unrotated(self, rows: Tensor) -> Tensor:
        """The rows of the unrotated images: ``[B·V, ...]`` -> ``[B, ...]``."""
        return rows[:: len(self.turns)]

    def joint_labels(self, labels: Tensor) -> Tensor:
        """``[B]`` -> ``[B·V]``, in the order of :meth:`expand`; of probabilities :meth:`joint_targets`."""
        if labels.ndim == 2:
            return self.joint_targets(labels)
        return torch.stack([labels * self.num_views + turn for turn in self.turns], 1).flatten()

    def joint_targets(self, probabilities: Tensor) -> Tensor:
        """``[B, N]`` -> ``[B·V, N·M]``: of each view its image's classes, at the view's own rotation."""
        targets = probabilities.new_zeros(*probabilities.shape, self.num_views, len(self.turns))
        for view, turn in enumerate(self.turns):
            targets[:, :, turn, view] = probabilities
        return targets.flatten(1, 2).transpose(1, 2).flatten(0, 1)

    def class_logits(self, joint_logits: Tensor) -> Tensor:
        """Joint logits ``[R, N·M]`` -> class logits ``[R, N]``: the sum over an image's views.

        The reference code sums logits, not probabilities.
        """
        return joint_logits.unflatten(1, (-1, self.num_views)).sum(2)
