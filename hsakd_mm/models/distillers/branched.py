"""Networks with hierarchical branches over a pretext task, as HSAKD and HSSAKD train them."""

import torch
from mmengine.logging import MessageHub
from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones import StagedBackbone
from hsakd_mm.randomness import isolated_rng
from hsakd_mm.registry import MODELS

from .base import BaseDistiller
from .plain import Classifier


def build_branches(backbone: StagedBackbone, branches: dict | None, num_views: int) -> nn.Module:
    """Branches of ``backbone`` over the joint labels of its classes and ``num_views`` views.

    They are built with an isolated random generator, so that with one seed the backbone starts like
    that of a plain network and sees the same images.
    """
    with isolated_rng('branches'):
        return MODELS.build(
            dict(branches or dict(type='TailBranches'), backbone=backbone, num_outputs=backbone.num_classes * num_views)
        )


def check_branch_interval(interval: int) -> int:
    """``interval``; UserError unless it is a whole number from 1 on."""
    if not isinstance(interval, int) or interval < 1:
        raise UserError(
            f'branch_interval is a number of steps, at least 1, and it is {interval!r}: branches are trained in every '
            f'n-th step, 1 means in all.'
        )
    return interval


def is_branch_step(interval: int) -> bool:
    """Whether the running step, which the message hub counts, is one of every n-th that train branches."""
    return interval == 1 or MessageHub.get_current_instance().runtime_info.get('iter', 0) % interval == 0


class BranchesMixin:
    """Mixin for modules with a ``backbone`` and ``branches``."""

    backbone: nn.Module
    branches: nn.Module

    def forward_branches(self, images: Tensor, detach: bool = False) -> tuple:
        """Class logits ``[R, N]`` and branch logits ``L x [R, N·M]`` of ``images: [R, 3, H, W]``.

        With ``detach`` no gradient of the branches reaches the backbone (``grad=False`` in the
        reference code).
        """
        features, taps = self.backbone.forward_intermediates(images)
        logits = self.backbone.forward_head(features)
        if detach:
            taps = [tap.detach() for tap in taps]
        return logits, self.branches(taps)


class BranchedNet(BranchesMixin, nn.Module):
    """One of several networks of a method, with its branches.

    Args:
        backbone (dict): Config of a staged backbone.
        branches (dict): Config of branches; :class:`TailBranches` by default.
        num_views (int): M of the pretext task.
    """

    def __init__(self, backbone: dict, branches: dict | None, num_views: int) -> None:
        super().__init__()
        self.backbone = MODELS.build(backbone)
        self.branches = build_branches(self.backbone, branches, num_views)


class BranchedDistiller(BaseDistiller):
    """A method that can also predict with its branches.

    Args:
        pretext (dict): Config of the pretext task; :class:`Rotation` by default.
        predict_branches (bool): Also predict with the branches. An image then costs M forward passes of
            backbone and branches instead of one of the backbone.
    """

    def __init__(
        self,
        data_preprocessor: dict | None = None,
        pretext: dict | None = None,
        predict_branches: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, **kwargs)
        self.pretext = MODELS.build({'type': 'Rotation', **(pretext or {})})
        self.predict_branches = predict_branches

    @property
    def branched_nets(self) -> list:
        """The modules with ``forward_branches``, one for each of ``backbones``."""
        return [self]

    def classifiers(self) -> list[tuple[nn.Module, int]]:
        branches = [branch for net in self.branched_nets for branch in net.branches]
        return super().classifiers() + [(branch.fc, self.pretext.num_views) for branch in branches]

    def predict(self, inputs: Tensor, labels: Tensor | None = None) -> list:
        """As :meth:`BaseDistiller.predict`; with ``predict_branches``, an image also has
        ``branch_joint`` and ``branch_class``, each ``[K, L]`` for K networks of L branches: the share of
        its views for which a branch predicts the joint label, or the class, correctly. Without labels the class is
        the one that the first network itself sees in the unrotated image.
        """
        if not self.predict_branches:
            return super().predict(inputs, labels)
        images = self.pretext.expand(inputs)
        outputs = [net.forward_branches(images) for net in self.branched_nets]
        logits = torch.stack([self.pretext.unrotated(own) for own, _ in outputs], 1)
        right = logits[:, 0].argmax(1) if labels is None else labels
        logits = logits[:, 0] if len(outputs) == 1 else logits
        joint, classes = ([self._shares(each, right, as_class) for _, each in outputs] for as_class in (False, True))
        return [
            dict(
                sample,
                branch_joint=[list(net[index]) for net in joint],
                branch_class=[list(net[index]) for net in classes],
            )
            for index, sample in enumerate(self.to_samples(logits, labels))
        ]

    def _shares(self, branch_logits: list, labels: Tensor, as_class: bool) -> list:
        """``B x [L]``: the share of an image's views that each branch classifies correctly."""
        views = self.pretext.num_views
        if as_class:
            target = labels.repeat_interleave(views)
            branch_logits = [self.pretext.class_logits(logits) for logits in branch_logits]
        else:
            target = self.pretext.joint_labels(labels)
        right = torch.stack([logits.argmax(1) == target for logits in branch_logits], 1)
        return right.float().unflatten(0, (-1, views)).mean(1).tolist()


class BranchedClassifier(BranchesMixin, BranchedDistiller, Classifier):
    """A classifier whose backbone has hierarchical branches over a pretext task.

    Args:
        backbone (dict): Config of a staged backbone.
        branches (dict): Config of branches, e.g. ``dict(type='TailBranches')``.
        Others: As in :class:`BranchedDistiller`.
    """

    def __init__(self, backbone: dict, branches: dict | None = None, **kwargs) -> None:
        super().__init__(backbone=backbone, **kwargs)
        self.branches = build_branches(self.backbone, branches, self.pretext.num_views)
        self.match_memory_format()
