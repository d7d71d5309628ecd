"""RSKD: Residual Learning for Self-Knowledge Distillation (Liu, Zhang, He, TBDATA 2025), reconstructed.

Only the abstract was available. It says that the last feature layer of the student learns the gap
between the outputs of a pseudo-teacher and of the student, and each intermediate feature layer the gap
between their deeper features. No code, recipe or number was found, and none is claimed as reproduced.
The pseudo-teacher, heads, losses, weights and ramp-up are our choices.
"""

import copy

import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub
from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.models.losses import kl_loss, ramp_up, to_float32
from hsakd_mm.randomness import isolated_rng
from hsakd_mm.registry import MODELS

from .plain import Classifier
from .student import StudentMixin

EMA, LAST_EPOCH = 'ema', 'last_epoch'


@MODELS.register_module()
class RSKD(Classifier):
    """Self-distillation: a network learns the residual between its own average and itself::

        CE(z_S, y) + w·λ·τ²·KL(softmax(z_T / τ) || softmax((sg z_S + r(f_L)) / τ))
                   + w·β·Σ_l mean (a_l(f_l^S) − sg((f_{l+1}^T − f_{l+1}^S) / s_{l+1}))²

    T is the pseudo-teacher (:class:`PseudoTeacher`), sg stops the gradient. r is a linear head on
    the vector f_L that enters the classifier; it fits sg(z_T − z_S) up to a constant. Because z_S is
    detached there, the term trains the features but not the classifier. a_l gives the output of a stage
    the shape of the next one's (:class:`ResidualAdapter`); s is the size of both features,
    :func:`relative_gap`. The ramp-up is Laine and Aila's ``w = exp(−5 (1 − min(e, E) / E)²)`` at e
    epochs of E. Heads and pseudo-teacher are used in training only; validation and export use the plain
    network.

    Switches for ablations: ``intermediate=False`` keeps the residual head only; with
    ``residual_head=False`` as well, it is self-distillation from an average (EMA-KD),
    ``CE(z_S, y) + w·λ·τ²·KL(z_T || z_S)``.

    The pseudo-teacher is updated at the start of a training step, with the student's weights after the
    previous step: in :meth:`forward`, which DDP calls too, not in :meth:`loss`. Its weights are in the
    checkpoint, under ``pseudo_teacher.``, so that a resumed run continues with them.

    Args:
        backbone (dict): Config of a staged backbone.
        data_preprocessor, load_backbone_from: As in :class:`Classifier`.
        pseudo_teacher (str): ``'ema'``, or ``'last_epoch'``: the student at the end of the previous epoch
            (in the first epoch, at its start).
        momentum (float): Of the average, per iteration. Our rule is 1 − 1 / (steps of an epoch), an
            average over about one epoch: .999 on CIFAR-100 with batches of 64.
        temperature (float): τ.
        residual_weight (float): λ; without the residual head, the weight of KL(z_T || z_S).
        feature_weight (float): β.
        ramp_up_epochs (float): E; 0 means full weight from the start. Without a Runner w is 1. mmengine
            counts an iteration-based loop as one epoch: set 0 there, and do not use ``'last_epoch'``.
        residual_head (bool): Train r.
        intermediate (bool): Train the a_l.
        batch_statistics (bool): In training the pseudo-teacher normalises by the batch, as the student does, and not
            by its averaged statistics.

    Raises:
        UserError: An unknown kind of pseudo-teacher, or a momentum outside [0, 1).
    """

    def __init__(
        self,
        backbone: dict,
        data_preprocessor: dict | None = None,
        pseudo_teacher: str = EMA,
        momentum: float = 0.999,
        temperature: float = 3.0,
        residual_weight: float = 1.0,
        feature_weight: float = 1.0,
        ramp_up_epochs: float = 0.0,
        residual_head: bool = True,
        intermediate: bool = True,
        batch_statistics: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(backbone, data_preprocessor, **kwargs)
        if pseudo_teacher not in (EMA, LAST_EPOCH):
            raise UserError(
                f'RSKD expects pseudo_teacher to be {EMA!r} or {LAST_EPOCH!r}, and it '
                f'is {pseudo_teacher!r}: choose one of these.'
            )
        if not 0 <= momentum < 1:
            raise UserError(
                f'RSKD expects a momentum in [0, 1), and it is {momentum}: set for example 1 - 1 / (steps of an epoch).'
            )
        self.kind = pseudo_teacher
        self.temperature = temperature
        self.residual_weight = residual_weight
        self.feature_weight = feature_weight
        self.ramp_up_epochs = ramp_up_epochs
        self.ramp = 1.0
        self._epoch = None
        self.pseudo_teacher = PseudoTeacher(self.backbone, momentum, batch_statistics)
        with isolated_rng():
            self.residual_head = _zero_linear(self.backbone) if residual_head else None
            self.adapters = _adapters(self.backbone) if intermediate else None
        self.match_memory_format()

    @property
    def counts_epochs(self) -> bool:
        return self.ramp_up_epochs > 0 or self.kind == LAST_EPOCH

    def forward(
        self, inputs: Tensor, labels: Tensor | None = None, mode: str = 'tensor', indices: Tensor | None = None
    ):
        """As :meth:`BaseDistiller.forward`; updates the pseudo-teacher before a training step."""
        if mode == 'loss' and self.training:
            self._begin_step()
        return super().forward(inputs, labels, mode, indices)

    def _begin_step(self) -> None:
        told = MessageHub.get_current_instance().get_info
        epoch = told('epoch', 0)
        if self.kind == EMA:
            self.pseudo_teacher.update(self.backbone)
        elif epoch != self._epoch:
            self.pseudo_teacher.copy_from(self.backbone)
        self._epoch = epoch
        if told('max_iters'):
            epochs = told('iter', 0) * told('max_epochs') / told('max_iters')
            self.ramp = ramp_up(epochs, self.ramp_up_epochs)

    def loss(self, inputs: Tensor, labels: Tensor) -> dict:
        features, taps = self.backbone.forward_intermediates(inputs)
        vector = self.backbone.pooled(features)
        logits = self.backbone.classify(vector)
        teacher_taps, teacher_logits = self.pseudo_teacher(inputs)

        learner = logits
        if self.residual_head is not None:
            learner = to_float32(logits.detach()) + to_float32(self.residual_head(vector))
        losses = {
            'loss_ce': F.cross_entropy(logits, labels),
            'loss_residual': self.ramp * self.residual_weight * kl_loss(learner, teacher_logits, self.temperature),
            'agreement': StudentMixin.agreement(logits, teacher_logits),
        }
        if self.adapters is not None:
            gaps = [relative_gap(own.detach(), theirs) for own, theirs in zip(taps[1:], teacher_taps[1:])]
            errors = [
                F.mse_loss(to_float32(adapter(tap, gap.shape[2:])), gap)
                for adapter, tap, gap in zip(self.adapters, taps, gaps)
            ]
            losses['loss_features'] = self.ramp * self.feature_weight * sum(errors)
        return losses


def relative_gap(own: Tensor, theirs: Tensor) -> Tensor:
    """``(theirs − own) / s`` with ``s² = mean theirs² + mean own²``; its mean square is at most 2.

    Without s and a ramp-up the loss diverges: early in training BatchNorm statistics lag behind the
    weights, and features in eval mode may be many times larger than in train mode.
    """
    own, theirs = to_float32(own), to_float32(theirs)
    square = theirs.square().mean() + own.square().mean()
    return (theirs - own) / square.sqrt().clamp(min=1e-6)


class PseudoTeacher(nn.Module):
    """A copy of a network that is updated but not trained.

    Everything in it is in eval mode but BatchNorm, while its owner is in train mode: it normalises by the batch, as the
    student's does. Statistics lag behind weights that change fast: by them its logits were seven times as large as
    the student's at some steps of a short training, and that is what the student learnt (configs/rskd/README.md).

    Its weights are buffers: they are in ``state_dict`` and move with the owner, but are in no
    ``parameters()``, optimizer group or DDP bucket. Operations on a model's children (``train()``, the
    conversion to SyncBatchNorm, ``init_weights``) do not reach it.

    Args:
        backbone (StagedBackbone): The network to copy.
        momentum (float): See :meth:`update`.
        batch_statistics (bool): ``False``: BatchNorm is always in eval mode too.
    """

    def __init__(self, backbone: nn.Module, momentum: float, batch_statistics: bool = True) -> None:
        super().__init__()
        self.momentum = momentum
        self.network = _parameters_to_buffers(copy.deepcopy(backbone)).eval()
        self.register_buffer('updates', torch.zeros((), dtype=torch.long))
        norms = [module for module in self.network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        self._by_the_batch = tuple(norms) if batch_statistics else ()  # a tuple registers no second names
        for norm in norms:
            norm.track_running_stats = False  # the statistics are averages of the student's: a batch changes nothing
        self.train(self.training)

    def train(self, mode: bool = True) -> 'PseudoTeacher':
        for norm in self._by_the_batch:
            norm.training = mode
        return super().train(mode)

    def named_children(self):
        return iter(())

    def _apply(self, fn, recurse: bool = True):
        self.network._apply(fn)
        return super()._apply(fn, recurse)

    @torch.no_grad()
    def update(self, backbone: nn.Module) -> None:
        """``mine ← m·mine + (1 − m)·theirs`` for weights and BatchNorm statistics alike.

        After t updates ``m = min(momentum, t / (t + 9))``, as in TensorFlow's average with
        ``num_updates``: the first update copies, and the initial weights soon lose their influence.
        Statistics are averaged like the weights, so that they match them. Counters are copied.
        """
        # On the device: reading the number of updates would synchronise at each step.
        momentum = (self.updates / (self.updates + 9)).clamp(max=self.momentum)
        for mine, theirs in self._pairs(backbone):
            if mine.is_floating_point():
                mine.lerp_(theirs, (1 - momentum).to(mine.dtype))
            else:
                mine.copy_(theirs)
        self.updates += 1

    @torch.no_grad()
    def copy_from(self, backbone: nn.Module) -> None:
        """Copy weights and statistics."""
        for mine, theirs in self._pairs(backbone):
            mine.copy_(theirs)
        self.updates += 1

    def _pairs(self, backbone: nn.Module) -> list:
        theirs = dict(backbone.named_parameters(remove_duplicate=False))
        theirs.update(backbone.named_buffers(remove_duplicate=False))
        return [(mine, theirs[name]) for name, mine in self.network.named_buffers()]

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple:
        """Taps and logits ``[B, N]`` of ``images: [B, 3, H, W]``."""
        features, taps = self.network.forward_intermediates(images)
        return taps, self.network.forward_head(features)


class ResidualAdapter(nn.Sequential):
    """1x1 convolution and BatchNorm of features that are average-pooled to the size of the next stage.

    A strided 1x1 convolution instead of the pooling would use a quarter of the positions. It starts as zero, as the
    head r does: as random noise of unit size it would pull at the features before there is a gap to learn.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))
        nn.init.zeros_(self[1].weight)

    def forward(self, tap: Tensor, size: tuple) -> Tensor:
        """``[B, C_l, H, W]`` to ``[B, C_{l+1}, *size]``."""
        strides = [own // theirs for own, theirs in zip(tap.shape[2:], size)]
        if all(own == stride * theirs for own, stride, theirs in zip(tap.shape[2:], strides, size)):
            tap = F.avg_pool2d(tap, strides)  # adaptive pooling has no deterministic backward pass
        else:
            tap = F.adaptive_avg_pool2d(tap, size)
        return super().forward(tap)


def _adapters(backbone: nn.Module) -> nn.ModuleList:
    """One adapter from each stage to the next."""
    return nn.ModuleList(map(ResidualAdapter, backbone.channels[:-1], backbone.channels[1:]))


def _zero_linear(backbone: nn.Module) -> nn.Linear:
    """The head r, initialised with zero, so that z_S + r(f_L) starts as z_S."""
    head = nn.Linear(backbone.num_features, backbone.num_classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def _parameters_to_buffers(network: nn.Module) -> nn.Module:
    for module in network.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                delattr(module, name)
                module.register_buffer(name, parameter.detach())
    return network
