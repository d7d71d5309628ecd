"""No pretext task: one view, and the joint label is the class."""

from torch import Tensor

from hsakd_mm.registry import MODELS


@MODELS.register_module()
class Identity:
    """The pretext task with M = 1. The branches then learn the classes, as deep supervision does.

    The interface is that of :class:`~hsakd_mm.models.pretext.Rotation`.
    """

    num_views = 1  # M

    def expand(self, images: Tensor) -> Tensor:
        return images

    def unrotated(self, rows: Tensor) -> Tensor:
        return rows

    def joint_labels(self, labels: Tensor) -> Tensor:
        return labels

    def class_logits(self, joint_logits: Tensor) -> Tensor:
        return joint_logits
