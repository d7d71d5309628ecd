"""HSAKD: Hierarchical Self-supervised Augmented Knowledge Distillation (Yang et al., IJCAI 2021).

Branches grown from every stage of a network learn the joint distribution of class and rotation.
A teacher learns it from labels (:class:`HSAKDTeacher`); a student then learns the teacher's class
and joint distributions, stage by stage (:class:`HSAKD`).

Where paper and code differ the code (winycg/HSAKD) is followed; see each docstring.
"""
import torch
import torch.nn.functional as F
from torch import Tensor

from hsakd_mm.checkpoint import load_backbone_weights, load_strict
from hsakd_mm.errors import UserError
from hsakd_mm.models.losses import kl_loss
from hsakd_mm.registry import MODELS

from .plain import Classifier
from .taught import Taught


class BranchedClassifier(Classifier):
    """A backbone with hierarchical branches over a pretext task; what both stages train.

    Args:
        backbone (dict): Config of a staged backbone.
        branches (dict): Config of branches, e.g. ``dict(type='TailBranches')``.
        pretext (dict): Config of the pretext task.
        data_preprocessor (dict): As in :class:`Classifier`.
    """

    def __init__(self, backbone: dict, branches: dict | None = None, pretext: dict | None = None,
                 data_preprocessor: dict | None = None) -> None:
        super().__init__(backbone, data_preprocessor)
        self.pretext = MODELS.build(pretext or dict(type='Rotation'))
        self.branches = MODELS.build(dict(
            branches or dict(type='TailBranches'), backbone=self.backbone,
            num_outputs=self.backbone.num_classes * self.pretext.num_views))
        self.match_memory_format()

    def forward_branches(self, images: Tensor, detach: bool = False) -> tuple:
        """Class logits ``[R, N]`` and branch logits ``L x [R, N·M]`` of ``images: [R, 3, H, W]``.

        With ``detach`` the branches send no gradient into the backbone (``grad=False`` of the
        reference code).
        """
        taps = self.backbone.forward_taps(images)
        logits = self.backbone.forward_head(taps[-1])
        if detach:
            taps = [tap.detach() for tap in taps]
        return logits, self.branches(taps)


@MODELS.register_module()
class HSAKDTeacher(BranchedClassifier):
    """Stage 1: ``CE(p(x), y) + (1/M) Σ_j Σ_l CE(q_l(t_j x), k_j)`` (section 3.2).

    Two ways (section 4, "Teacher" and "Teacher*"):

    * ``frozen_backbone=True``: a trained backbone keeps weights and BN statistics, only the
      branches learn, from detached features. The reference code still adds the then constant
      ``CE(p(x), y)``; it has no gradient and is left out here.
    * ``frozen_backbone=False``: backbone and branches learn together, from scratch.

    Args:
        frozen_backbone (bool): Which of the two.
        checkpoint (str): The backbone's weights: a file, or ``torchvision://resnet34``.
            Required when the backbone is frozen. Loaded strictly.
        Others: As in :class:`BranchedClassifier`.
    """

    def __init__(self, *args, frozen_backbone: bool = False, checkpoint: str | None = None,
                 **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if frozen_backbone and checkpoint is None:
            raise UserError('a frozen backbone was expected to come with trained weights, and '
                            'checkpoint is None: set model.checkpoint to a file or to a '
                            'torchvision:// name, or model.frozen_backbone=False.')
        self.frozen_backbone = frozen_backbone
        self.checkpoint = checkpoint
        if frozen_backbone:
            self.backbone.requires_grad_(False)

    def init_weights(self) -> None:
        super().init_weights()
        if self.checkpoint is not None:
            load_strict(self.backbone, load_backbone_weights(self.checkpoint),
                        source=self.checkpoint, what='teacher backbone')

    def train(self, mode: bool = True) -> 'HSAKDTeacher':
        super().train(mode)
        if self.frozen_backbone:
            self.backbone.eval()
        return self

    def loss(self, inputs: Tensor, labels: Tensor) -> dict:
        images = self.pretext.expand(inputs)
        joint_labels = self.pretext.joint_labels(labels)
        logits, branch_logits = self.forward_branches(images, detach=self.frozen_backbone)
        losses = {f'loss_ce_branch{depth}': F.cross_entropy(joint_logits, joint_labels)
                  for depth, joint_logits in enumerate(branch_logits, 1)}
        if not self.frozen_backbone:
            losses['loss_ce'] = F.cross_entropy(self.pretext.unrotated(logits), labels)
        return losses

    def predict(self, inputs: Tensor, labels: Tensor | None = None) -> list:
        """As :meth:`Classifier.predict`, and ``branch_logits: [L, M, N·M]`` an image.

        The branches are what this stage trains, so validation has to see them.
        """
        logits, branch_logits = self.forward_branches(self.pretext.expand(inputs))
        views = self.pretext.num_views
        branch_logits = torch.stack(branch_logits, 1).unflatten(0, (-1, views)).transpose(1, 2)
        samples = self.samples(self.pretext.unrotated(logits), labels)
        return [dict(sample, branch_logits=joint_logits)
                for sample, joint_logits in zip(samples, branch_logits)]


@MODELS.register_module()
class HSAKD(Taught, BranchedClassifier):
    """Stage 2: ``CE(p_S(x), y) + Σ_l KL(q_l^T || q_l^S) + KL(p^T || p^S)`` (section 3.3).

    Cross-entropy sees the images as they are, both divergences all M views. The student's
    branches get no cross-entropy (the paper's ablation finds that it hurts), and their gradient
    reaches the backbone. The teacher comes from
    :class:`~hsakd_mm.engine.hooks.DistillationHook`, is in eval mode and gets no gradient.

    Args:
        temperature (float): T of every KL; 3 in the paper, its only hyper-parameter.
        Others: As in :class:`BranchedClassifier`.
    """

    def __init__(self, *args, temperature: float = 3.0, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.temperature = temperature

    def check_teacher(self, teacher) -> None:
        """Branches teach branches: there must be as many, over the same joint classes."""
        theirs, ours = _layout(teacher), _layout(self)
        for what, their, our in zip(('branches', 'classes', 'views'), theirs, ours):
            if their != our:
                raise UserError(f'HSAKD pairs branch with branch over the same joint classes, and '
                                f'the teacher has {their} {what} while the student has {our}: '
                                f'use a teacher trained as HSAKDTeacher on the same classes, '
                                f'with the same kind of branches and pretext task.')

    def loss(self, inputs: Tensor, labels: Tensor) -> dict:
        images = self.pretext.expand(inputs)
        logits, branch_logits = self.forward_branches(images)
        with torch.no_grad():
            teacher_logits, teacher_branch_logits = self.teacher.forward_branches(images)

        own = self.pretext.unrotated(logits)
        weight, temperature = self.distill_weight, self.temperature
        losses = {'loss_ce': F.cross_entropy(own, labels)}
        for depth, pair in enumerate(zip(branch_logits, teacher_branch_logits, strict=True), 1):
            losses[f'loss_kl_branch{depth}'] = weight * kl_loss(*pair, temperature)
        losses['loss_kl_logits'] = weight * kl_loss(logits, teacher_logits, temperature)
        losses['agreement'] = self.agreement(own, self.pretext.unrotated(teacher_logits))
        return losses


def _layout(model) -> tuple:
    """Number of branches, classes and views."""
    views = getattr(getattr(model, 'pretext', None), 'num_views', 0)
    return len(getattr(model, 'branches', ())), model.backbone.num_classes, views
