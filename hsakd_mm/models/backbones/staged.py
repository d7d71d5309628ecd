"""The staged protocol: what every backbone here offers, *stem -> stages -> head*.

Branches are grown from the stages and the transfer reads their strides and channels, so a network
that follows this protocol can be taught, can teach, and can be handed to a detector.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


def run(net: nn.Module, names: Sequence[str], features: Tensor) -> Tensor:
    """``features`` through the modules of those names, one after another."""
    for name in names:
        features = net.get_submodule(name)(features)
    return features


class StagedBackbone(nn.Module, ABC):
    """A classification network cut into stages.

    Attributes:
        strides (tuple[int]): Down-sampling of each stage's output, e.g. ``(4, 8, 16, 32)``.
        channels (tuple[int]): Channels of each stage's output.
        num_classes (int): N, the width of the classifier.
        num_features (int): Width of the vector that enters the classifier.
        tail_channels (int): Channels that :meth:`fresh_tail` puts out.
    """

    strides: tuple
    channels: tuple
    num_classes: int
    num_features: int
    tail_channels: int

    @abstractmethod
    def stage_names(self, images: Tensor) -> Sequence:
        """Of each stage the names of the modules that ``images: [B, 3, H, W]`` go through, one
        after another; the stem's are the first of the first stage."""

    def forward_taps(self, images: Tensor) -> list:
        """The stages' outputs, ``L x [B, C_l, H / s_l, W / s_l]``, of ``images: [B, 3, H, W]``."""
        taps, features = [], images
        for names in self.stage_names(images):
            features = run(self, names, features)
            taps.append(features)
        return taps

    def forward_early(self, images: Tensor) -> Tensor:
        """The tap before the last, ``[B, C, h, w]``: for methods that change what follows it."""
        features = images
        for names in self.stage_names(images)[:-1]:
            features = run(self, names, features)
        return features

    def forward_last(self, tap: Tensor, images: Tensor) -> Tensor:
        """The last tap, of what :meth:`forward_early` gave for ``images``, changed or not."""
        return run(self, self.stage_names(images)[-1], tap)

    @abstractmethod
    def pooled(self, tap: Tensor) -> Tensor:
        """The vector ``[B, num_features]`` of the last tap; linear probes and k-NN look at it."""

    @abstractmethod
    def classify(self, vector: Tensor) -> Tensor:
        """Class logits ``[B, N]`` of what :meth:`pooled` gives."""

    @abstractmethod
    def fresh_tail(self, stage: int) -> nn.Sequential:
        """New, randomly initialised copies of all that follows ``stage`` (counted from 0).

        That is the remaining stages, and the layers between the last stage and pooling where a
        family has such. After the last stage no stage remains: then it is one more last stage, at
        stride 1.
        """

    def init_branch(self, branch: nn.Module) -> None:
        """Initialise a branch as the family does; by default its layers stay as they were made."""

    def forward_head(self, tap: Tensor) -> Tensor:
        """Class logits ``[B, N]`` of the last tap."""
        return self.classify(self.pooled(tap))

    def vector_and_logits(self, images: Tensor) -> tuple:
        """The vector that enters the classifier, ``[B, num_features]``, and class logits ``[B, N]``."""
        vector = self.pooled(self.forward_taps(images)[-1])
        return vector, self.classify(vector)

    def forward(self, images: Tensor) -> Tensor:
        """Class logits ``[B, N]``."""
        return self.forward_head(self.forward_taps(images)[-1])
