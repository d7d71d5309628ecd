"""HSAKD: Hierarchical Self-supervised Augmented Knowledge Distillation (Yang et al., IJCAI 2021).

Branches at every stage of a network learn the joint distribution of class and rotation. A teacher
learns it from labels (:class:`HSAKDTeacher`); a student then learns the class and joint distributions
of the teacher, stage by stage (:class:`HSAKD`).

Where paper and code differ, this follows the code (winycg/HSAKD); see each docstring.
"""

import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor

from hsakd_mm.checkpoints.pretrained import load_or_advise, load_without_head
from hsakd_mm.errors import UserError
from hsakd_mm.models.branches.pairing import pair_by_stride
from hsakd_mm.models.losses import kl_loss
from hsakd_mm.registry import MODELS

from .branched import BranchedClassifier, check_branch_interval, is_branch_step
from .student import StudentMixin


@MODELS.register_module()
class HSAKDTeacher(BranchedClassifier):
    """Stage 1: ``CE(p(x), y) + (1/M) Σ_j Σ_l CE(q_l(t_j x), k_j)`` (section 3.2).

    Two ways of the paper (section 4, "Teacher" and "Teacher*"), and one for weights of other classes:

    * ``frozen_backbone=True``: the trained backbone keeps its weights and BN statistics, and only the
      branches learn, from detached features. The reference code still adds ``CE(p(x), y)``, which is
      then constant and has no gradient; it is omitted here.
    * ``frozen_backbone=False``: backbone and branches are trained together, from scratch or from
      ``load_backbone_from``.
    * ``frozen_backbone=True, new_head=True``: as the first, and the classifier is new and learns
      ``CE(p(x), y)`` from detached features: a linear probe beside the branches. For weights without a
      classifier, or with one of other classes. Our addition.

    Images without labels: the branches of a frozen backbone then learn the joint distribution of rotation and the
    classes that the backbone itself sees in the unrotated image, ``(1/M) Σ_j Σ_l CE(q_l(t_j x), p(x) at j)``. Ours too.

    Args:
        frozen_backbone (bool): Train the branches only, and with ``new_head`` the classifier.
        checkpoint (str): The backbone's weights: a file (of a backbone, or of a training run), a
            work directory, ``torchvision://resnet34``, ``timm://resnet34.a1_in1k`` or ``hf-hub:OWNER/NAME``. Required
            for a frozen backbone. Loading is strict.
        new_head (bool): Of a frozen backbone load everything but the classifier, and train that.
        Others: As in :class:`BranchedClassifier`.
    """

    without_labels = 'model.frozen_backbone=True model.new_head=False'

    def __init__(
        self, *args, frozen_backbone: bool = False, checkpoint: str | None = None, new_head: bool = False, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        if frozen_backbone and checkpoint is None:
            raise UserError(
                'a frozen backbone needs trained weights, and '
                'checkpoint is None: set model.checkpoint to a file or to a '
                'torchvision:// name, or model.frozen_backbone=False.'
            )
        if not self.num_classes:
            raise UserError(
                'the branches of a teacher learn classes, and num_classes is 0: a frozen backbone without a classifier '
                'gets one of your classes with model.new_head=True and model.backbone.num_classes=N.'
            )
        if new_head and not frozen_backbone:
            raise UserError(
                'new_head=True is for a frozen backbone, and frozen_backbone is False: to train backbone and branches '
                'together from weights of other classes, set model.load_backbone_from to them instead of '
                'model.new_head and model.checkpoint.'
            )
        if checkpoint is not None and self.load_backbone_from is not None:
            raise UserError(
                f'the backbone of a teacher starts from one place, and both checkpoint ({checkpoint}) and '
                f'load_backbone_from ({self.load_backbone_from}) are set: '
                + (
                    'a frozen backbone takes model.checkpoint, with model.new_head=True if its classes are others.'
                    if frozen_backbone
                    else 'model.checkpoint loads the classifier too, model.load_backbone_from does not.'
                )
            )
        self.frozen_backbone = frozen_backbone
        self.checkpoint = checkpoint
        self.new_head = new_head
        if frozen_backbone:
            self.backbone.requires_grad_(False)
        if new_head:
            for classifier in self.backbone.classifiers():
                classifier.requires_grad_(True)
        self.train(self.training)  # has a frozen backbone keep its BN statistics from the first call on

    def init_weights(self) -> None:
        super().init_weights()
        if self.checkpoint is None:
            return
        what, preprocessor = 'teacher backbone', self.data_preprocessor
        if self.new_head:
            print_log(load_without_head(self.backbone, self.checkpoint, what, preprocessor), 'current')
            return
        count = load_or_advise(self.backbone, self.checkpoint, what, preprocessor, self._advice)
        print_log(f'The {what} starts from {self.checkpoint}: {count} tensors.', 'current')

    @property
    def needs_labels(self) -> bool:
        return self.new_head or not self.frozen_backbone

    @property
    def _advice(self) -> str:
        if self.frozen_backbone:
            return 'to train a classifier of your own classes with the branches, set model.new_head=True.'
        return 'to load all but the classifier, set model.load_backbone_from to it instead of model.checkpoint.'

    def train(self, mode: bool = True) -> 'HSAKDTeacher':
        super().train(mode)
        if self.frozen_backbone:
            self.backbone.eval()
        return self

    def loss(self, inputs: Tensor, labels: Tensor | None) -> dict:
        pretext = self.pretext.draw()
        logits, branch_logits = self.forward_branches(pretext.expand(inputs), detach=self.frozen_backbone)
        own = pretext.unrotated(logits)
        # Classes, or in their place the frozen backbone's probabilities; cross_entropy takes both.
        joint = pretext.joint_labels(labels) if labels is not None else pretext.joint_targets(own.detach().softmax(1))
        losses = {
            f'loss_ce_branch{depth}': F.cross_entropy(joint_logits, joint)
            for depth, joint_logits in enumerate(branch_logits, 1)
        }
        if self.new_head or not self.frozen_backbone:
            losses['loss_ce'] = F.cross_entropy(own, labels)
        return losses


@MODELS.register_module()
class HSAKD(StudentMixin, BranchedClassifier):
    """Stage 2: ``CE(p_S(x), y) + Σ_l KL(q_l^T || q_l^S) + KL(p^T || p^S)`` (section 3.3).

    Cross-entropy uses the unrotated images, both divergences all M views. The student's branches have
    no cross-entropy (the paper's ablation finds that it hurts), and their gradient reaches the
    backbone. :class:`~hsakd_mm.engine.hooks.DistillationHook` attaches the teacher, which is in eval
    mode and gets no gradient. It may belong to another family, have another number of branches
    (:func:`~hsakd_mm.models.branches.pairing.pair_by_stride`) and another input normalisation.

    The four weights give the rows of the paper's ablation: only branches ``(1, 0, 0, 0)``, with logits
    on unrotated images ``(1, 1, 0, 0)`` or on all views ``(1, 0, 1, 0)``, with cross-entropy on the
    student's branches ``(1, 0, 1, 1)``.

    With ``ce_weight=0`` the student learns from its teacher alone, ``Σ_l KL(q_l^T || q_l^S) + KL(p^T || p^S)``, in the
    teacher's classes and on any images (:class:`~hsakd_mm.datasets.UnlabelledImages`); that is ours.

    Args:
        temperature (float): T of every KL; 3 in the paper, its only hyper-parameter.
        kl_branches (float): Weight of ``Σ_l KL(q_l^T || q_l^S)``.
        kl_unrotated (float): Weight of ``KL(p^T || p^S)`` over unrotated images.
        kl_rotated (float): Weight of ``KL(p^T || p^S)`` over all M views.
        ce_weight (float): Weight of ``CE(p_S(x), y)``. With 0, and ``ce_branches=0``, the images need no labels.
        ce_branches (float): Weight of ``Σ_l CE(q_l^S(t_j x), k_j)``.
        branch_interval (int): Branches and rotations in every n-th step only. The steps between are those of KD, at
            this temperature: ``CE(p_S(x), y) + KL(p^T || p^S)`` of the unrotated images. 1: in all, as in the paper.
        Others: As in :class:`BranchedClassifier`.
    """

    asks_with_targets = True
    without_labels = 'model.ce_weight=0 model.ce_branches=0'

    def __init__(
        self,
        *args,
        temperature: float = 3.0,
        kl_branches: float = 1.0,
        kl_unrotated: float = 0.0,
        kl_rotated: float = 1.0,
        ce_branches: float = 0.0,
        ce_weight: float = 1.0,
        branch_interval: int = 1,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.branch_interval = check_branch_interval(branch_interval)
        self.temperature = temperature
        self.kl_branches = kl_branches
        self.kl_unrotated = kl_unrotated
        self.kl_rotated = kl_rotated
        self.ce_branches = ce_branches
        self.ce_weight = ce_weight

    @property
    def needs_labels(self) -> bool:
        return self.ce_weight != 0 or self.ce_branches != 0

    def check_teacher(self, teacher) -> None:
        """Also needs branches over the same joint labels."""
        super().check_teacher(teacher)
        if not hasattr(teacher, 'branches'):
            raise UserError(
                f'HSAKD needs a teacher with branches, and {type(teacher).__name__} '
                f'has none: use one trained as HSAKDTeacher.'
            )
        theirs, ours = teacher.pretext.num_views, self.pretext.num_views
        if theirs != ours:
            raise UserError(
                f'HSAKD pairs branches over the same joint classes, and the teacher '
                f'has {theirs} views while the student has {ours}: use the same '
                f'pretext task for both.'
            )
        self.teacher_branches = pair_by_stride(self.backbone.strides, teacher.backbone.strides)

    def loss(self, inputs: Tensor, labels: Tensor | None) -> dict:
        if not is_branch_step(self.branch_interval):
            return self._loss_without_branches(inputs, labels)
        pretext = self.pretext.draw()
        images = pretext.expand(inputs)
        logits, branch_logits = self.forward_branches(images)
        teacher_logits, teacher_branch_logits = self.ask_teacher(images, pretext)

        own, teacher_own = pretext.unrotated(logits), pretext.unrotated(teacher_logits)
        losses = self._cross_entropy(own, labels)
        for depth, (joint_logits, index) in enumerate(zip(branch_logits, self.teacher_branches), 1):
            losses[f'loss_kl_branch{depth}'] = self._kl(self.kl_branches, joint_logits, teacher_branch_logits[index])
        losses['loss_kl_logits'] = self._kl(self.kl_rotated, logits, teacher_logits)
        if self.kl_unrotated:
            losses['loss_kl_unrotated'] = self._kl(self.kl_unrotated, own, teacher_own)
        if self.ce_branches:
            joint_labels = pretext.joint_labels(labels)
            for depth, joint_logits in enumerate(branch_logits, 1):
                losses[f'loss_ce_branch{depth}'] = self.ce_branches * F.cross_entropy(joint_logits, joint_labels)
        losses['agreement'] = self.agreement(own, teacher_own)
        return losses

    def _loss_without_branches(self, inputs: Tensor, labels: Tensor | None) -> dict:
        own = self.backbone(inputs)
        teacher_own, _ = self.ask_teacher(inputs)
        return {
            **self._cross_entropy(own, labels),
            'loss_kl_logits': self._kl(self.kl_rotated + self.kl_unrotated, own, teacher_own),
            'agreement': self.agreement(own, teacher_own),
        }

    def _cross_entropy(self, logits: Tensor, labels: Tensor | None) -> dict:
        return {'loss_ce': self.ce_weight * F.cross_entropy(logits, labels)} if self.ce_weight else {}

    def _kl(self, weight: float, logits: Tensor, teacher_logits: Tensor) -> Tensor:
        return self.distill_weight * weight * kl_loss(logits, teacher_logits, self.temperature)
