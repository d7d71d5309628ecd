"""No pretext task: a single view, with the class as its joint label."""

from torch import Tensor

from hsakd_mm.registry import MODELS


@MODELS.register_module()
class Identity:
    """A pretext task with M = 1: the branches learn the classes, as in deep supervision.

    The interface is that of :class:`~hsakd_mm.models.pretext.Rotation`.
    """

    num_views = 1  # M
    turns = (0,)

    def all_views(self) -> 'Identity':
        return self

    def draw(self) -> 'Identity':
        return self

    def expand(self, images: Tensor) -> Tensor:
        return images

    def unrotated(self, rows: Tensor) -> Tensor:
        return rows

    def joint_labels(self, labels: Tensor) -> Tensor:
        return labels

    def joint_targets(self, probabilities: Tensor) -> Tensor:
        return probabilities

    def class_logits(self, joint_logits: Tensor) -> Tensor:
        return joint_logits
