"""A method, its networks and its teacher as one module, whose calls are losses."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from mmengine.logging import MessageHub
from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.base import BaseDistiller

from .images import ImageModule, take_apart
from .networks import Network


class Distillation(ImageModule):
    """What :func:`distill` returns: a module that trains networks by a method.

    ``parameters()``, ``state_dict()``, ``to()``, ``train()`` are a module's own, over all that is trained: the
    networks, branches, projections. The teacher is no part of them; it follows to another device.

    * ``for losses in distillation`` is an epoch of the loader, a turn a step.
    * ``distillation(images, labels)`` are the losses of a batch, for a loop of one's own, DistributedDataParallel or
      a gradient scaler.

    ``losses['loss']`` is to be minimised; the others are its parts, and what the method logs, without gradient.

    Attributes:
        networks (tuple[Network]): As given to :func:`distill`.
        model (BaseDistiller): The method. ``model.distill_weight`` scales what is learnt from the teacher.
        teacher (nn.Module | None): Frozen, in eval mode.
        steps (int): Training steps so far, by which methods with a ramp count; to be set when a training is resumed.
    """

    def __init__(
        self,
        model: BaseDistiller,
        model_config: dict,
        networks: Sequence[Network],
        loader: Iterable | None,
        amp: torch.dtype | None,
        ramp_up_epochs: float = 0.0,
    ) -> None:
        super().__init__()
        self.model, self.model_config = model, model_config
        self.networks = tuple(networks)  # a tuple: they share their backbones with the model, and are in no state_dict
        self.classes = networks[0].classes
        self.loader, self.amp, self.ramp_up_epochs = loader, amp, ramp_up_epochs
        self.steps = 0
        self.steps_per_epoch = length_of(loader)

    @property
    def teacher(self) -> nn.Module | None:
        return getattr(self.model, 'teacher', None)

    def forward(self, images: Tensor, labels: Tensor | None = None, indices: Tensor | None = None) -> dict[str, Tensor]:
        """The losses of a batch.

        Args:
            images (Tensor): ``[B, 3, H, W]``, RGB, uint8 in 0..255 or floating point in 0..1, not normalised.
            labels (Tensor): Classes ``[B]``, or probabilities ``[B, N]`` where the method takes them; None for a method
                that learns without.
            indices (Tensor): Of the images in the data set ``[B]``; for CRD only.

        Returns:
            dict[str, Tensor]: Scalars; ``loss`` has the gradient.

        Raises:
            UserError: Images or labels are of another form, or labels or indices are missing that the method needs.
        """
        if indices is None and hasattr(self.model, 'attach_labels'):
            raise UserError(
                f'{type(self.model).__name__} needs the index of every image in the data set, and the batch has none: '
                f'have the loader give (images, labels, indices), or give indices to the call.'
            )
        batch = self.prepared(images, labels, indices)
        # Any module: a network that shares the teacher's backbone may have been put in training mode.
        if self.teacher is not None and any(module.training for module in self.teacher.modules()):
            self.teacher.eval()
        if self.ramp_up_epochs and self.steps_per_epoch:
            self.model.ramp_up(self.steps / self.steps_per_epoch, self.ramp_up_epochs)
        with _progress(self.steps, self.steps_per_epoch), self._autocast(batch['inputs']):
            losses = self._losses(batch)
        total, parts = self.model.parse_losses(losses)
        self.steps += self.training
        return {'loss': total, **{name: value.detach() for name, value in parts.items() if name != 'loss'}}

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """The losses of each batch of the loader, in training mode."""
        if self.loader is None:
            raise UserError('a loader was expected, and there is none: give it to distill().')
        self.train()
        for batch in self.loader:
            yield self(*take_apart(batch))

    def logits(self, images: Tensor) -> Tensor:
        """Class logits ``[B, N]``, of K networks ``[B, K, N]``."""
        return self.model.logits(self.prepared(images)['inputs'])

    def _losses(self, batch: dict) -> dict:
        try:
            return self.model(**batch, mode='loss')
        except ValueError as error:
            if 'more than 1 value per channel' not in str(error):
                raise
            raise UserError(
                'a batch of at least two images was expected, as a BatchNorm layer sees maps of 1 x 1 pixel, and this '
                'one has one: set drop_last=True of the loader.'
            ) from None

    def _autocast(self, images: Tensor):
        return torch.autocast(images.device.type, self.amp) if self.amp is not None else nullcontext()

    def _apply(self, fn, recurse: bool = True):
        super()._apply(fn, recurse)
        if isinstance(self.teacher, BaseDistiller):
            self.teacher._apply(fn)
            self.teacher._set_device(next(self.teacher.parameters()).device)
            self.model.attach_teacher(self.teacher)  # again: scale and shift of its images are plain tensors
        return self


def length_of(loader) -> int | None:
    """Batches in an epoch, where the loader knows."""
    try:
        return len(loader)
    except TypeError:
        return None


@contextmanager
def _progress(step: int, steps_per_epoch: int | None) -> Iterator[None]:
    """Tells methods the step and the epoch where they look for a Runner's, and leaves a Runner's as they were."""
    info = MessageHub.get_current_instance().runtime_info
    told = dict(iter=step, epoch=0, max_epochs=1, max_iters=None)
    if steps_per_epoch:
        told.update(epoch=step // steps_per_epoch, max_iters=steps_per_epoch)
    before = {name: info[name] for name in told if name in info}
    info.update(told)
    try:
        yield
    finally:
        for name in told:
            del info[name]
        info.update(before)
