"""What a model that has a teacher shares: the seam to DistillationHook."""
from torch import Tensor, nn

from hsakd_mm.errors import UserError


class Unregistered:
    """Holds a module so that its owner does not own it.

    A module in here is in no ``state_dict``, ``parameters()``, ``modules()``, DDP bucket or EMA
    copy of the owner, is not moved or switched to train mode with it, and a deep copy of the owner
    refers to the same module.
    """

    def __init__(self, module: nn.Module | None = None) -> None:
        self.module = module

    def __deepcopy__(self, memo) -> 'Unregistered':
        return self


class Taught:
    """Mixin of models that learn from a teacher which they do not own.

    Attributes:
        distill_weight (float): Factor of the distillation losses; DistillationHook schedules it.
    """

    distill_weight: float = 1.0

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._teacher = Unregistered()

    @property
    def teacher(self) -> nn.Module:
        if self._teacher.module is None:
            raise UserError(f'{type(self).__name__} has no teacher: add a DistillationHook to the '
                            f'config (default_hooks.distillation), which builds and loads one.')
        return self._teacher.module

    def attach_teacher(self, teacher: nn.Module) -> None:
        """Take a teacher that is ready: loaded, frozen, in eval mode, on the device."""
        self.check_teacher(teacher)
        self._teacher.module = teacher

    def check_teacher(self, teacher: nn.Module) -> None:
        """Raise UserError where this teacher cannot teach this student."""

    @staticmethod
    def agreement(logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """Share of images on which student and teacher name the same class; only logged."""
        return (logits.argmax(1) == teacher_logits.argmax(1)).float().mean()
