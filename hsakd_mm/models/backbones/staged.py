"""The interface of every backbone here: *stem -> stages -> head*.

Branches are attached to the stages, and detectors read the strides and channels of the stages. Any
network with this interface can be a student, a teacher, and the backbone of a detector.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .recomputed import run_recomputed


def run_modules(net: nn.Module, names: Sequence[str], features: Tensor) -> Tensor:
    """Pass ``features`` through the named modules, one after another."""
    for name in names:
        features = net.get_submodule(name)(features)
    return features


class StagedBackbone(nn.Module, ABC):
    """A classification network split into stages.

    Attributes:
        strides (tuple[int]): Down-sampling of each stage's output, e.g. ``(4, 8, 16, 32)``.
        channels (tuple[int]): Channels of each stage's output.
        num_classes (int): N, the width of the classifier.
        num_features (int): Width of the vector that enters the classifier.
        tail_channels (int): Channels of the output of :meth:`build_tail`.
        trial_size (tuple[int]): Height and width of images that it takes, for a trial; not the only ones.
        with_cp (bool): Activation checkpointing in training, see :mod:`.recomputed`.
        pretrained_normalisation (dict | None): ``mean`` and ``std``, in units of 0..255, of the images that its weights
            were trained on, where it was built with trained ones.
    """

    strides: tuple
    channels: tuple
    num_classes: int
    num_features: int
    tail_channels: int
    trial_size: tuple = (64, 64)
    with_cp: bool = False
    pretrained_normalisation: dict | None = None

    @abstractmethod
    def stage_names(self, images: Tensor) -> Sequence:
        """For each stage the names of its modules, in the order in which ``images: [B, 3, H, W]`` pass
        them; the first stage starts with the stem."""

    def forward_intermediates(self, images: Tensor) -> tuple:
        """What the head reads, and the taps, ``L x [B, C_l, H / s_l, W / s_l]``, of ``images: [B, 3, H, W]``.

        The name and the order are timm's. The head of a chain of stages reads the last tap; other networks' heads
        read what that network's family makes (tokens, lists of maps).
        """
        taps, features = [], images
        for names in self.stage_names(images):
            features = self._run(names, features)
            taps.append(features)
        return features, taps

    def forward_taps(self, images: Tensor) -> list:
        """The stages' outputs alone."""
        return self.forward_intermediates(images)[1]

    def forward_early(self, images: Tensor) -> Tensor:
        """The second to last tap, ``[B, C, h, w]``, for methods that replace the last stage."""
        features = images
        for names in self.stage_names(images)[:-1]:
            features = self._run(names, features)
        return features

    def forward_last(self, tap: Tensor, images: Tensor) -> Tensor:
        """The last tap, computed from the output of :meth:`forward_early` for ``images``, modified or not."""
        return self._run(self.stage_names(images)[-1], tap)

    def _run(self, names: Sequence[str], features: Tensor) -> Tensor:
        """Pass ``features`` through a stage."""
        if not (self.with_cp and self.training and torch.is_grad_enabled()):
            return run_modules(self, names, features)
        return run_recomputed(nn.Sequential(*map(self.get_submodule, names)), features)

    @abstractmethod
    def pooled(self, features) -> Tensor:
        """The vector ``[B, num_features]`` of what the head reads; linear probes and k-NN use it."""

    @abstractmethod
    def classify(self, vector: Tensor) -> Tensor:
        """Class logits ``[B, N]`` of the output of :meth:`pooled`."""

    @abstractmethod
    def get_classifier(self) -> nn.Module | tuple:
        """The last layer, with a row of weights for each class; of a network with several, all of them."""

    def classifiers(self) -> list[nn.Module]:
        """:meth:`get_classifier` as a list."""
        found = self.get_classifier()
        return list(found) if isinstance(found, tuple | list | nn.ModuleList) else [found]

    @abstractmethod
    def build_tail(self, stage: int) -> nn.Sequential:
        """A new, randomly initialised copy of all layers between ``stage`` (from 0) and pooling.

        These are the remaining stages and the neck. For the last stage it is another last stage, at
        stride 1, and the neck.
        """

    def init_branch(self, branch: nn.Module) -> None:
        """Initialise a branch as the family does; by default layers keep torch's initialisation."""

    def forward_head(self, features) -> Tensor:
        """Class logits ``[B, N]`` of what the head reads."""
        return self.classify(self.pooled(features))

    def vector_and_logits(self, images: Tensor) -> tuple:
        """The vector that enters the classifier, ``[B, num_features]``, and class logits ``[B, N]``."""
        vector = self.pooled(self.forward_intermediates(images)[0])
        return vector, self.classify(vector)

    def forward(self, images: Tensor) -> Tensor:
        """Class logits ``[B, N]``."""
        return self.forward_head(self.forward_intermediates(images)[0])
