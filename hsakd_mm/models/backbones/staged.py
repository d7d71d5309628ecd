"""The staged protocol: what every backbone here offers, *stem -> stages -> head*.

Branches are grown from the stages and the transfer reads their strides and channels, so a network
that follows this protocol can be taught, can teach, and can be handed to a detector.
"""
from abc import ABC, abstractmethod

from torch import Tensor, nn


class StagedBackbone(nn.Module, ABC):
    """A classification network cut into stages.

    Attributes:
        strides (tuple[int]): Down-sampling of each stage's output, e.g. ``(4, 8, 16, 32)``.
        channels (tuple[int]): Channels of each stage's output.
        num_classes (int): N, the width of the classifier.
    """

    strides: tuple
    channels: tuple
    num_classes: int

    @abstractmethod
    def forward_taps(self, images: Tensor) -> list:
        """The stages' outputs, ``L x [B, C_l, H / s_l, W / s_l]``, of ``images: [B, 3, H, W]``."""

    @abstractmethod
    def forward_head(self, features: Tensor) -> Tensor:
        """Class logits ``[B, N]`` of the last tap."""

    @abstractmethod
    def fresh_tail(self, stage: int) -> nn.Sequential:
        """New, randomly initialised copies of the stages that follow ``stage`` (counted from 0).

        After the last stage none remain: then it is one more last stage, at stride 1.
        """

    def forward(self, images: Tensor) -> Tensor:
        """Class logits ``[B, N]``."""
        return self.forward_head(self.forward_taps(images)[-1])
