"""Feature distillation: a student's last feature map follows its teacher's. Needs neither labels nor classes.

The bar of the field for pretraining without labels is LightlyTrain (lightly-ai/lightly-train). Its first method,
``distillationv1``, compares whole images, by their similarities to a queue of the teacher's embeddings. Its second,
``distillationv2``, is of the kind that is here: the student's map, projected position by position and bilinearly
resized to the teacher's grid, follows the teacher's features by their mean squared error; it takes the last two blocks
of a ViT, mixes pairs of images and trains with LARS. Ours is the teacher's last map alone, the cosine, no mixing of
images, and the optimizer of the config.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones.tap_parameters import parameters_read
from hsakd_mm.models.losses import to_float32
from hsakd_mm.randomness import isolated_rng
from hsakd_mm.registry import MODELS

from .plain import Classifier
from .student import StudentMixin


@MODELS.register_module()
class FeatureDistillation(StudentMixin, Classifier):
    """``1 - cos(P f_S(x), f_T(x))``, averaged over images and positions of the teacher's last map.

    ``P`` is a 1x1 convolution from the student's width to the teacher's, resized bilinearly to the teacher's grid. It
    belongs to training and is not exported. The teacher may have any classes, or none. What of the student comes after
    its last map, its classifier above all, keeps its initial weights and gets no gradient: ``num_classes`` only says
    how wide that is, and an accuracy is that of chance. A linear probe or k-NN tells how good the features are.

    Args:
        teacher_features (int): Channels of the teacher's last map.
        Others: As in :class:`Classifier`.
    """

    without_labels = ''
    learns_classes = False

    def __init__(self, *args, teacher_features: int, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        with isolated_rng('projection'):
            self.projection = nn.Conv2d(self.backbone.channels[-1], teacher_features, 1)
        *others, read = parameters_read(
            self.backbone, lambda net, image: net.forward_taps(image), self.backbone.trial_size
        )
        if alone := set().union(*others) - read:
            raise UserError(
                f"FeatureDistillation trains what a network's last map is computed from, and {len(alone)} parameters "
                f'of this backbone belong to its other maps alone ({min(alone)}, ...) and would stay random: choose '
                f'another network, or HSAKD, whose branches read all maps.'
            )
        for name, parameter in self.backbone.named_parameters():
            if name not in read:
                parameter.requires_grad_(False)  # DDP would wait for its gradient
        self.match_memory_format()

    @classmethod
    def settings_for(cls, teacher: nn.Module) -> dict:
        return dict(teacher_features=teacher.backbones[0].channels[-1])

    def check_teacher(self, teacher: nn.Module) -> None:
        """Needs a backbone with ``teacher_features`` channels; its classes do not matter."""
        if not hasattr(teacher, 'backbone'):
            raise UserError(
                f'FeatureDistillation needs a teacher with one backbone, and {type(teacher).__name__} has none or '
                f'several: use one trained as a Classifier.'
            )
        ours, theirs = self.projection.out_channels, teacher.backbone.channels[-1]
        if ours != theirs:
            raise UserError(
                f"the teacher's last map was expected to have model.teacher_features={ours} channels, and it has "
                f'{theirs}: set model.teacher_features={theirs}.'
            )

    def loss(self, inputs: Tensor, labels: Tensor | None = None) -> dict:
        cosine = self.cosines(inputs).mean()
        return {'loss_cosine': self.distill_weight * (1 - cosine), 'cosine': cosine.detach()}

    def cosines(self, inputs: Tensor) -> Tensor:
        """Cosine of student and teacher at each position of the teacher's map, ``[B, h, w]``."""
        with torch.no_grad():
            theirs = self.teacher.backbone.forward_taps(self.normalize_for_teacher(inputs))[-1]
        ours = to_float32(self.projection(self.backbone.forward_taps(inputs)[-1]))
        if ours.shape[2:] != theirs.shape[2:]:
            ours = F.interpolate(ours, theirs.shape[2:], mode='bilinear')
        return F.cosine_similarity(ours, to_float32(theirs), dim=1)

    def predicted_by_teacher(self, inputs: Tensor) -> dict[str, Tensor]:
        """``teacher_cosine [B]``: the mean cosine of an image."""
        return dict(teacher_cosine=self.cosines(inputs).mean((1, 2)))
