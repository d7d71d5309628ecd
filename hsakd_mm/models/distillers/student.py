"""Interface between a student and DistillationHook, which gives it its teacher."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from hsakd_mm.errors import UserError

from .teacher_targets import TeacherTargets


class UnregisteredModule:
    """Holds a module without registering it as a child of the owner.

    The module is in no ``state_dict``, ``parameters()``, ``modules()``, DDP bucket or EMA copy of the
    owner, and ``to()`` and ``train()`` of the owner do not reach it. A deep copy of the owner refers to
    the same module.
    """

    def __init__(self, module: nn.Module | None = None) -> None:
        self.module = module

    def __deepcopy__(self, memo) -> 'UnregisteredModule':
        return self


class MissingTeacherError(UserError, AttributeError):
    """The teacher is read before one is attached; an AttributeError, so that ``hasattr`` is False."""


class StudentMixin(nn.Module):
    """Mixin of models that learn from a teacher, which is not a part of them.

    Attributes:
        teacher (nn.Module): The attached teacher. Without one, reading it raises MissingTeacherError.
        distill_weight (float): Factor of the distillation losses; DistillationHook schedules it.
        targets (TeacherTargets | None): What is remembered of the teacher; DistillationHook sets it.
        asks_with_targets (bool): The method asks its teacher by :meth:`ask_teacher` alone.
        learns_classes (bool): The method learns its teacher's classes: both have the same.
        predict_teacher (bool): Also predict what the teacher says; DistillationHook sets it for metrics that compare.
    """

    distill_weight: float = 1.0
    targets: TeacherTargets | None = None
    asks_with_targets: bool = False
    learns_classes: ClassVar[bool] = True
    predict_teacher: bool = False
    data_preprocessor: nn.Module
    num_classes: int

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._teacher = UnregisteredModule()
        self._renormalise: tuple | None = None

    def __getattr__(self, name: str):
        if name != 'teacher':  # not a property: nn.Module would replace its AttributeError by another
            return super().__getattr__(name)
        if self._teacher.module is None:
            raise MissingTeacherError(
                f'{type(self).__name__} has no teacher: add a DistillationHook to the '
                f'config (default_hooks.distillation), which builds and loads one.'
            )
        return self._teacher.module

    def ramp_up(self, epochs: float, over: float) -> None:
        """Set :attr:`distill_weight` after so many epochs: it grows linearly from 0 to 1 ``over`` epochs."""
        self.distill_weight = min(1.0, epochs / over)

    def attach_teacher(self, teacher: nn.Module) -> None:
        """Attach a teacher that is loaded, frozen, in eval mode and on the device."""
        self.check_teacher(teacher)
        self._teacher.module = teacher
        self._renormalise = _renormalisation(self.data_preprocessor, teacher.data_preprocessor)

    @classmethod
    def settings_for(cls, teacher: nn.Module) -> dict:
        """Arguments of the constructor that follow from the teacher, for a caller that has it before the student."""
        return {}

    def check_teacher(self, teacher: nn.Module) -> None:
        """Raise UserError if this teacher cannot teach this student."""
        if len(teacher.backbones) != 1:
            raise UserError(
                f'{type(self).__name__} needs a teacher with one network, and {type(teacher).__name__} has '
                f'{len(teacher.backbones)}: export them (hsakd-mm export), and name one of the files, or, in Python, '
                f'give one of its networks.'
            )
        if teacher.num_classes != self.num_classes:
            raise UserError(
                f'{type(self).__name__} needs a teacher with the same classes, and the '
                f'teacher has {teacher.num_classes} classes while the student has '
                f'{self.num_classes}: use one trained on the same data, or, to learn without labels, set '
                f'model.backbone.num_classes={teacher.num_classes}.'
            )

    def predict(self, inputs: Tensor, labels: Tensor | None = None) -> list:
        """As the method does; with ``predict_teacher`` an image also has what :meth:`predicted_by_teacher` says."""
        samples = super().predict(inputs, labels)
        if self.predict_teacher:
            for name, values in self.predicted_by_teacher(inputs).items():
                samples = [dict(sample, **{name: value}) for sample, value in zip(samples, values)]
        return samples

    @torch.no_grad()
    def predicted_by_teacher(self, inputs: Tensor) -> dict[str, Tensor]:
        """A row for each image: ``teacher_scores``, the teacher's class logits ``[B, N]``."""
        return dict(teacher_scores=self._ask(inputs, None)[0])  # not ask_teacher: it remembers training images

    def normalize_for_teacher(self, images: Tensor) -> Tensor:
        """Convert the student's normalised images, ``[B, 3, H, W]``, to the teacher's normalisation.

        Returns the same tensor if both are the same, or if the teacher's is not known.
        """
        if self._renormalise is None:
            return images
        scale, shift = self._renormalise
        return images * scale + shift

    @torch.no_grad()
    def ask_teacher(self, images: Tensor, pretext=None) -> tuple[Tensor, list[Tensor]]:
        """The teacher's class logits ``[R, N]`` and, with ``pretext``, its branches' ``L x [R, N·M]``.

        Args:
            images (Tensor): Normalised images ``[R, 3, H, W]``; with ``pretext`` their views, as it expands them.
            pretext: The pretext task of this step, as drawn. None: only the class logits are asked for.
        """
        if self.targets is None:
            logits, *branches = self._ask(images, pretext)
            return logits, branches
        views = None if pretext is None else pretext.all_views()

        def ask() -> list[Tensor]:
            if views is None or views.turns == pretext.turns:
                return self._ask(images, views)
            return self._ask(views.expand(pretext.unrotated(images)), views)

        kind, turns = (views is None, images.shape[-1]), (0,) if views is None else pretext.turns
        logits, *branches = self.targets.get(ask, kind, 1 if views is None else len(views.turns), turns)
        return logits, branches

    def _ask(self, images: Tensor, pretext) -> list[Tensor]:
        images = self.normalize_for_teacher(images)
        if pretext is None:
            return [self.teacher.logits(images)]
        logits, branches = self.teacher.forward_branches(images)
        return [logits, *branches]

    @staticmethod
    def agreement(logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """Share of images for which student and teacher predict the same class; only logged."""
        return (logits.argmax(1) == teacher_logits.argmax(1)).float().mean()


def _renormalisation(ours: nn.Module, theirs: nn.Module) -> tuple | None:
    """Scale and shift, ``[3, 1, 1]`` each, from one normalisation to another; None if they are equal."""
    stats: list = [getattr(each, name, None) for each in (ours, theirs) for name in ('mean', 'std')]
    if any(each is None or each.is_meta for each in stats):  # on meta the cost is counted
        return None
    mean, std, their_mean, their_std = (each.to(stats[0].device) for each in stats)
    if torch.equal(mean, their_mean) and torch.equal(std, their_std):
        return None
    return std / their_std, (mean - their_mean) / their_std
