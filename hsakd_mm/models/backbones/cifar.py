"""Base class of the CIFAR families: a network defined by lists of named layers.

A family uses the layer names of winycg/HSAKD and RepDistiller, so that their weights load strictly,
and defines how a stage is built. Forward pass and branches follow from that.
"""

from abc import abstractmethod
from collections.abc import Iterable
from itertools import accumulate
from operator import mul

from torch import Tensor, nn

from hsakd_mm.errors import UserError

from .staged import StagedBackbone, run_modules


class CifarBackbone(StagedBackbone):
    """Stem at full resolution, stages, a neck (often empty), global average pooling, one Linear.

    A subclass sets the names below. Its constructor sets what its ``build_*`` methods need, then calls
    this one. Nothing depends on the input size.

    Args:
        num_classes (int): N.
        stem_channels (int): Channels of the stem's output; 3 without a stem.
        channels (Iterable[int]): Channels of each stage's output.
        num_features (int): Channels of the neck's output. Default: of the last stage.
    """

    stem: tuple = ()
    """Names of the layers before the first stage."""
    stages: tuple = ()
    """For each stage the names of its layers; a dot leads into a container."""
    stage_strides: tuple = ()
    """Down-sampling within each stage."""
    neck: tuple = ()
    """Names of the layers between the last stage and pooling."""
    head: str = 'fc'
    """Name of the classifier."""

    def __init__(
        self, num_classes: int, stem_channels: int, channels: Iterable, num_features: int | None = None
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.strides = tuple(accumulate(self.stage_strides, mul))
        self.num_classes = num_classes
        self.num_features = self.tail_channels = num_features or self.channels[-1]
        self._adopt(self.stem, self.build_stem())
        inputs = (stem_channels, *self.channels)
        for index, names in enumerate(self.stages):
            self._adopt(names, self.build_stage(index, inputs[index], self.stage_strides[index]))
        self._adopt(self.neck, self.build_neck())
        self.add_module(self.head, nn.Linear(self.num_features, num_classes))
        self.init_backbone()

    def _adopt(self, names: tuple, layers: list) -> None:
        for name, layer in zip(names, layers, strict=True):
            container, _, leaf = name.rpartition('.')
            if container and not hasattr(self, container):
                self.add_module(container, nn.Sequential())
            self.get_submodule(container).add_module(leaf, layer)

    def build_stem(self) -> list:
        """New layers of the stem, one for each name."""
        return []

    @abstractmethod
    def build_stage(self, index: int, in_channels: int, stride: int) -> list:
        """New layers of stage ``index`` (from 0) with this stride, one for each name."""

    def build_neck(self) -> list:
        """New layers of the neck, one for each name."""
        return []

    def init_backbone(self) -> None:
        """Initialise the network; by default layers keep torch's initialisation."""

    def stage_names(self, images: Tensor) -> list:
        first, *others = self.stages
        return [(*self.stem, *first), *others]

    def pooled(self, tap: Tensor) -> Tensor:
        return run_modules(self, self.neck, tap).mean((2, 3))

    def classify(self, vector: Tensor) -> Tensor:
        return self.get_classifier()(vector)

    def get_classifier(self) -> nn.Module:
        return self.get_submodule(self.head)

    def build_tail(self, stage: int) -> nn.Sequential:
        last = len(self.stages) - 1
        if stage == last:
            layers = self.build_stage(last, self.channels[last], stride=1)
        else:
            layers = [
                layer
                for index in range(stage + 1, last + 1)
                for layer in self.build_stage(index, self.channels[index - 1], self.stage_strides[index])
            ]
        return nn.Sequential(*layers, *self.build_neck())


def he_init(network: nn.Module, linear: str = 'default') -> None:
    """Normal weights for convolutions, std sqrt(2 / (k² · out channels)), zero for their biases.

    Args:
        network (nn.Module): Changed in place; BatchNorm keeps torch's initialisation, 1 and 0.
        linear (str): ``'default'`` keeps torch's initialisation of Linear, ``'zero_bias'`` zeroes
            its bias, ``'small'`` also draws its weights with std 0.01. The families differ.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode='fan_out', nonlinearity='relu')
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear) and linear != 'default':
            nn.init.zeros_(layer.bias)
            if linear == 'small':
                nn.init.normal_(layer.weight, std=0.01)


def blocks_per_stage(family: str, depth: int, step: int, offset: int) -> int:
    """The n of ``depth = step · n + offset``.

    Raises:
        UserError: There is no such n >= 1.
    """
    if not isinstance(depth, int) or depth <= offset or (depth - offset) % step:
        near = ', '.join(str(step * n + offset) for n in (1, 2, 3, 6))
        raise UserError(
            f'{family} expects a depth of {step}n+{offset} with n >= 1, and depth is '
            f'{depth!r}: choose one such as {near}.'
        )
    return (depth - offset) // step


def check_choice(family: str, what: str, value, known: Iterable):
    """Return ``value`` if it is in ``known``; otherwise raise a UserError that lists the choices."""
    known = list(known)
    if value not in known:
        raise UserError(f'{family} expects {what} to be one of {known}, and it is {value!r}: choose one of these.')
    return value
