"""SSKD: Knowledge Distillation Meets Self-Supervision (Xu, Liu, Li, Loy, ECCV 2020).

A small head on the vector that enters the classifier learns to recognise the source of a rotated
image. The student learns the teacher's class logits of images and rotated images, and the teacher's
similarities between rotated and unrotated images.

Follows the authors' code (xuguodong03/SSKD, ``student.py``) with one difference: there each of the four
rotations of an image has its own random crop; here one crop is rotated, as in HSAKD, so that all
methods learn from the same images.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsakd_mm.checkpoints.pretrained import load_backbone
from hsakd_mm.errors import UserError
from hsakd_mm.models.losses import kl_loss, to_float32
from hsakd_mm.models.pretext import Rotation
from hsakd_mm.randomness import isolated_rng
from hsakd_mm.registry import MODELS

from .plain import Classifier
from .student import StudentMixin


class SelfSupervisedClassifier(Classifier):
    """A classifier with a self-supervised head, ``ssp_head``.

    Args:
        As in :class:`Classifier`.
    """

    takes_soft_labels = False  # a rotated image finds its own source, which a mixed one has not

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.pretext = Rotation()
        width = self.backbone.num_features
        with isolated_rng('ssp_head'):
            self.ssp_head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward_ssp(self, rows: Tensor, detach: bool = False) -> tuple:
        """Class logits ``[4B, N]`` and similarities ``[3B, B]`` of rotated to unrotated images.

        Args:
            rows (Tensor): ``[4B, 3, H, W]``, the four rotations of an image one after another.
            detach (bool): Stop the gradient from the head into the backbone.

        Returns:
            tuple: Row ``3i + j - 1`` of the similarities, which are cosines in float32 or wider, is image
            i rotated by j · 90 degrees.
        """
        vectors, logits = self.backbone.vector_and_logits(rows)
        outputs = self.ssp_head(vectors.detach() if detach else vectors)
        with torch.autocast(rows.device.type, enabled=False):
            units = F.normalize(to_float32(outputs), dim=1)
            return logits, self.rotated(units) @ self.pretext.unrotated(units).T

    def rotated(self, rows: Tensor) -> Tensor:
        """The rows of rotated images: ``[4B, ...]`` -> ``[3B, ...]``."""
        return rows.unflatten(0, (-1, self.pretext.num_views))[:, 1:].flatten(0, 1)

    def repeat_for_rotations(self, labels: Tensor) -> Tensor:
        """Repeats values of images, ``[B]``, for their rotated images, ``[3B]``."""
        return labels.repeat_interleave(self.pretext.num_views - 1)


@MODELS.register_module()
class SSKDTeacher(SelfSupervisedClassifier):
    """Stage 1: ``CE(similarities of a rotated image to all images of the batch, its own image)``.

    Only the head is trained; the trained backbone keeps its weights and BN statistics. The accuracy of
    the head, the share of rotated images whose source is the most similar image, is logged as
    ``ssp_accuracy``.

    Args:
        checkpoint (str): The backbone's weights, as in
            :class:`~hsakd_mm.models.distillers.hsakd.HSAKDTeacher`. Needed for training.
        Others: As in :class:`Classifier`.
    """

    frozen_backbone = True

    def __init__(self, *args, checkpoint: str | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.load_backbone_from is not None:
            raise UserError(
                f'SSKDTeacher teaches with a trained backbone and its classifier, which model.checkpoint names, and '
                f'load_backbone_from is {self.load_backbone_from!r}: leave it out. Where the classes are others, train '
                f'a Classifier with load_backbone_from first, and name its work directory as model.checkpoint.'
            )
        self.checkpoint = checkpoint
        self.backbone.requires_grad_(False)
        self.train(self.training)  # has the backbone keep its BN statistics from the first call on

    def init_weights(self) -> None:
        super().init_weights()
        if self.checkpoint is None:
            raise UserError(
                'SSKDTeacher trains a head on a trained backbone, and '
                'model.checkpoint is None: set it to a file, a work directory or a '
                'torchvision:// name.'
            )
        load_backbone(self.backbone, self.checkpoint, 'teacher backbone', self.data_preprocessor)

    def train(self, mode: bool = True) -> 'SSKDTeacher':
        super().train(mode)
        self.backbone.eval()
        return self

    def loss(self, inputs: Tensor, labels: Tensor) -> dict:
        _, similar = self.forward_ssp(self.pretext.expand(inputs), detach=True)
        own = self.repeat_for_rotations(torch.arange(len(inputs), device=inputs.device))
        return {'loss_ssp': F.cross_entropy(similar, own), 'ssp_accuracy': (similar.argmax(1) == own).float().mean()}


@MODELS.register_module()
class SSKD(StudentMixin, SelfSupervisedClassifier):
    """Stage 2: ``a·CE + b·KL(p^T || p^S) + c·KL(p^T || p^S)_rotated + d·KL(s^T || s^S)``.

    Cross-entropy and the first divergence use the unrotated images, the second one (LT) the rotated
    ones. s (SS) is the softmax of a rotated image's similarities to all images of the batch (with
    several GPUs, of the GPU's share of it). Every divergence has its own temperature, and is multiplied
    by its square.

    Selective transfer: of the rotated images for which the teacher is wrong, by class (LT) or by source
    image (SS), only a share is used, those for which the teacher ranks the correct answer highest. A
    divergence is the mean over the rows used. At least one row is used (without any, the reference code
    divides by zero).

    Args:
        ce_weight, kd_weight, lt_weight, ss_weight (float): a, b, c, d.
        temperature, lt_temperature, ss_temperature (float): Temperatures of KL, LT and SS.
        lt_keep, ss_keep (float): Shares of wrong rows that are used.
        Others: As in :class:`Classifier`.
    """

    def __init__(
        self,
        *args,
        ce_weight: float = 0.1,
        kd_weight: float = 0.9,
        lt_weight: float = 2.7,
        ss_weight: float = 10.0,
        temperature: float = 4.0,
        lt_temperature: float = 4.0,
        ss_temperature: float = 0.5,
        lt_keep: float = 1.0,
        ss_keep: float = 0.75,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        for name, share in (('lt_keep', lt_keep), ('ss_keep', ss_keep)):
            if not 0 <= share <= 1:
                raise UserError(
                    f'{name} is a share of rows, from 0 to 1, and it is {share}: set model.{name} in between.'
                )
        self.ce_weight = ce_weight
        self.kd_weight = kd_weight
        self.lt_weight = lt_weight
        self.ss_weight = ss_weight
        self.temperature = temperature
        self.lt_temperature = lt_temperature
        self.ss_temperature = ss_temperature
        self.lt_keep = lt_keep
        self.ss_keep = ss_keep

    def check_teacher(self, teacher: nn.Module) -> None:
        super().check_teacher(teacher)
        if not hasattr(teacher, 'forward_ssp'):
            raise UserError(
                f'SSKD needs a teacher with a self-supervised head, and '
                f'{type(teacher).__name__} has none: use one trained as SSKDTeacher.'
            )

    def loss(self, inputs: Tensor, labels: Tensor) -> dict:
        rows = self.pretext.expand(inputs)
        logits, similar = self.forward_ssp(rows)
        with torch.no_grad():
            teacher_logits, teacher_similar = self.teacher.forward_ssp(self.normalize_for_teacher(rows))
        own, teacher_own = (self.pretext.unrotated(each) for each in (logits, teacher_logits))
        turned, teacher_turned = (self.rotated(each) for each in (logits, teacher_logits))
        images = self.repeat_for_rotations(torch.arange(len(inputs), device=inputs.device))
        by_class = select_least_wrong(teacher_turned, self.repeat_for_rotations(labels), self.lt_keep)
        by_image = select_least_wrong(teacher_similar, images, self.ss_keep)
        weight = self.distill_weight
        return {
            'loss_ce': self.ce_weight * F.cross_entropy(own, labels),
            'loss_kd': weight * self.kd_weight * kl_loss(own, teacher_own, self.temperature),
            'loss_lt': weight * self.lt_weight * kl_loss(turned, teacher_turned, self.lt_temperature, by_class),
            'loss_ss': weight * self.ss_weight * kl_loss(similar, teacher_similar, self.ss_temperature, by_image),
            'ssp_accuracy': (similar.argmax(1) == images).float().mean(),
            'agreement': self.agreement(own, teacher_own),
        }


def select_least_wrong(scores: Tensor, labels: Tensor, share: float) -> Tensor:
    """Selects the rows in which the label has the highest score, and a share of the other rows.

    Args:
        scores (Tensor): ``[R, K]``.
        labels (Tensor): ``[R]``.
        share (float): Of the R - r other rows, ``int(share · (R - r))`` are selected: those with the
            fewest scores above the label's, in order of rows among equals.

    Returns:
        Tensor: Whether a row is selected, ``bool [R]``; at least one is.
    """
    rank = (scores > scores.gather(1, labels[:, None])).sum(1)
    wrong = (rank > 0).sum()
    keep = len(rank) - wrong + (wrong.double() * share).long()
    # The CPU reads no number, and shapes are the same in all steps: no GPU is waited for, and one graph serves them.
    return rank.argsort(stable=True).argsort() < keep.clamp(min=1)
