"""What a model that has a teacher shares: the seam to DistillationHook."""

import torch
from torch import Tensor, nn

from hsakd_mm.errors import UserError


class UnregisteredModule:
    """Holds a module so that its owner does not own it.

    A module in here is in no ``state_dict``, ``parameters()``, ``modules()``, DDP bucket or EMA
    copy of the owner, is not moved or switched to train mode with it, and a deep copy of the owner
    refers to the same module.
    """

    def __init__(self, module: nn.Module | None = None) -> None:
        self.module = module

    def __deepcopy__(self, memo) -> 'UnregisteredModule':
        return self


class MissingTeacherError(UserError, AttributeError):
    """A student was asked for its teacher before it was given one; ``hasattr`` takes it for "no"."""


class StudentMixin(nn.Module):
    """Mixin of models that learn from a teacher which they do not own.

    Attributes:
        teacher (nn.Module): Once it is attached; before, reading it is a UserError and ``hasattr`` is False.
        distill_weight (float): Factor of the distillation losses; DistillationHook schedules it.
    """

    distill_weight: float = 1.0

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._teacher = UnregisteredModule()
        self._renormalise = None

    def __getattr__(self, name: str):
        if name != 'teacher':  # a property would lose its AttributeError: nn.Module raises another one
            return super().__getattr__(name)
        if self._teacher.module is None:
            raise MissingTeacherError(
                f'{type(self).__name__} has no teacher: add a DistillationHook to the '
                f'config (default_hooks.distillation), which builds and loads one.'
            )
        return self._teacher.module

    def attach_teacher(self, teacher: nn.Module) -> None:
        """Take a teacher that is ready: loaded, frozen, in eval mode, on the device."""
        self.check_teacher(teacher)
        self._teacher.module = teacher
        self._renormalise = _renormalisation(self.data_preprocessor, teacher.data_preprocessor)

    def check_teacher(self, teacher: nn.Module) -> None:
        """Raise UserError where this teacher cannot teach this student."""
        if teacher.num_classes != self.num_classes:
            raise UserError(
                f'{type(self).__name__} needs a teacher of the same classes, and the '
                f'teacher has {teacher.num_classes} classes while the student has '
                f'{self.num_classes}: use one trained on the same data.'
            )

    def normalize_for_teacher(self, images: Tensor) -> Tensor:
        """The student's normalised images, ``[B, 3, H, W]``, normalised as the teacher expects.

        The very same tensor where both are normalised alike, or the teacher does not say how.
        """
        if self._renormalise is None:
            return images
        scale, shift = self._renormalise
        return images * scale + shift

    @staticmethod
    def agreement(logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """Share of images on which student and teacher name the same class; only logged."""
        return (logits.argmax(1) == teacher_logits.argmax(1)).float().mean()


def _renormalisation(ours: nn.Module, theirs: nn.Module) -> tuple | None:
    """Scale and shift, ``[3, 1, 1]`` each, from one normalisation to another; None if the same."""
    stats = [getattr(each, name, None) for each in (ours, theirs) for name in ('mean', 'std')]
    if any(each is None for each in stats):
        return None
    mean, std, their_mean, their_std = (each.to(stats[0].device) for each in stats)
    if torch.equal(mean, their_mean) and torch.equal(std, their_std):
        return None
    return std / their_std, (mean - their_mean) / their_std
