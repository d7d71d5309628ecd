"""Base class of all distillers: input, dispatch on the mode, and validation."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from hsakd_mm.checkpoints.pretrained import check_normalisation
from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS

from .initial_backbones import load_initial_backbones
from .labels import check_labels


class BaseDistiller(BaseModel):
    """A training method for one network or several.

    Args:
        data_preprocessor (dict): Usually :class:`~hsakd_mm.models.ImagePreprocessor`.
        load_backbone_from (str | Sequence): Weights that the backbone starts from, without the classifier: a
            file, a work directory, ``torchvision://resnet34``, ``timm://resnet34.a1_in1k`` or
            ``hf-hub:OWNER/NAME``. Of several networks each starts from it; a list has an entry for each, None for
            random weights. A resumed run does not load it again. See
            :func:`~hsakd_mm.checkpoints.pretrained.load_without_head`.

    Attributes:
        without_labels (str | None): What has to be set for the method to learn without labels, as in
            'model.ce_weight=0'; '' if it never needs any, None if it always does.
        takes_soft_labels (bool): Whether the method also learns from probabilities ``[B, N]`` in place of classes,
            such as those of mixed images.
    """

    without_labels: ClassVar[str | None] = None
    takes_soft_labels: ClassVar[bool] = False

    def __init__(
        self, data_preprocessor: dict | None = None, load_backbone_from: str | Sequence[str | None] | None = None
    ) -> None:
        if isinstance(data_preprocessor, dict):
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor)
        self.load_backbone_from = load_backbone_from

    def init_weights(self) -> None:
        """Called when training starts, also of a run that is resumed."""
        self.check_temperatures()
        super().init_weights()
        for said in self.load_backbones():
            print_log(said, 'current')

    def load_backbones(self) -> list[str]:
        """Load what ``load_backbone_from`` names; returns a sentence for each network."""
        if self.load_backbone_from is None:
            return []
        return load_initial_backbones(
            self.backbones, self.load_backbone_from, self.data_preprocessor, type(self).__name__
        )

    def check_temperatures(self) -> None:
        """Raise UserError unless every temperature is a number above 0; with 0 a loss would be NaN."""
        for part in (self, *self.children()):
            for name, value in vars(part).items():
                if name.endswith('temperature') and not (isinstance(value, int | float) and value > 0):
                    raise UserError(
                        f'a temperature of {type(self).__name__} is a number above 0, and {name} is {value!r}: correct '
                        f'it.'
                    )

    def check_pretrained(self) -> None:
        """Compare the input normalisation with that of weights that a backbone was built with.

        Raises:
            UserError: They were trained with another.
        """
        for backbone in self.backbones:
            if normalisation := getattr(backbone, 'pretrained_normalisation', None):
                content = dict(state_dict={}, meta=dict(normalisation=normalisation))
                check_normalisation(self.data_preprocessor, content, 'a backbone with pretrained=True')

    @property
    @abstractmethod
    def backbones(self) -> list[nn.Module]:
        """The trained networks, which are validated and exported: one, or several that teach each other."""

    @property
    def num_classes(self) -> int:
        return self.backbones[0].num_classes

    @property
    def counts_epochs(self) -> bool:
        """Whether :meth:`loss` depends on the epoch, which mmengine's message hub counts."""
        return False

    @property
    def needs_labels(self) -> bool:
        """Whether :meth:`loss` reads the labels; without, they may be None."""
        return self.without_labels != ''

    def classifiers(self) -> list[tuple[nn.Module, int]]:
        """The layers that predict, each with its number M of outputs for a class: class c has c·M to c·M + M - 1."""
        return [
            (layer, 1)
            for backbone in self.backbones
            for head in backbone.classifiers()
            for layer in head.modules()  # a head of several layers ends with the one of the classes
            if isinstance(layer, nn.Linear | nn.Conv2d) and len(layer.weight) == backbone.num_classes
        ]

    @torch.no_grad()
    def reorder_classes(self, order: Sequence[int]) -> None:
        """Renumber the classes that the model predicts: class i is then the one that was ``order[i]``."""
        for layer, views in self.classifiers():
            rows = [old * views + view for old in order for view in range(views)]
            for value in layer.parameters(recurse=False):
                value.copy_(value[rows])

    @abstractmethod
    def loss(self, inputs: Tensor, labels: Tensor) -> dict:
        """Scalars by name; mmengine minimises the sum of those with ``loss`` in their name and logs the rest."""

    def logits(self, inputs: Tensor) -> Tensor:
        """Class logits of one forward pass: ``[B, N]``, of K networks ``[B, K, N]``."""
        logits = [backbone(inputs) for backbone in self.backbones]
        return logits[0] if len(logits) == 1 else torch.stack(logits, 1)

    def predict(self, inputs: Tensor, labels: Tensor | None = None) -> list:
        """One dict for each image: ``pred_scores`` (logits, ``[N]`` or ``[K, N]``) and ``gt_label``."""
        return self.to_samples(self.logits(inputs), labels)

    def forward(
        self, inputs: Tensor, labels: Tensor | None = None, mode: str = 'tensor', indices: Tensor | None = None
    ):
        """Dispatch on ``mode``, as mmengine's runner calls it.

        Args:
            inputs (Tensor): Normalised images ``[B, 3, H, W]``.
            labels (Tensor): Classes ``[B]``, int64; None of images without. ``'loss'`` needs them, unless
                :attr:`needs_labels` is False, and takes probabilities ``[B, N]`` where :attr:`takes_soft_labels`.
            mode (str): ``'loss'`` -> dict of scalars, ``'predict'`` -> list of dicts,
                ``'tensor'`` -> class logits.
            indices (Tensor): Indices of the images in the data set ``[B]``, if the data provides them;
                used only by methods with a memory of images, such as CRD.
        """
        if mode == 'loss':
            check_labels(self, labels)
            return self.loss(inputs, labels)
        if mode == 'predict':
            return self.predict(inputs, labels)
        return self.logits(inputs)

    def match_memory_format(self) -> None:
        """Store convolution weights in NHWC order if the data preprocessor emits images in it."""
        if getattr(self.data_preprocessor, 'channels_last', False):
            self.to(memory_format=torch.channels_last)

    @staticmethod
    def check_nets(nets: Sequence[dict]) -> None:
        """Raise UserError unless each of ``model.nets`` is ``dict(backbone=...)``."""
        for net in nets:
            if set(net) != {'backbone'}:
                raise UserError(
                    f'each of model.nets is expected to be dict(backbone=dict(...)), and '
                    f'one has {", ".join(sorted(net)) or "nothing"}: put the network '
                    f'under backbone.'
                )

    @staticmethod
    def check_same_classes(classes: Sequence[int]) -> None:
        """Raise UserError unless the networks have the same number of classes."""
        if len(set(classes)) > 1:
            raise UserError(
                f'networks that teach each other need the same number of classes, and they have '
                f'{" and ".join(map(str, classes))}: set the same num_classes for all of them.'
            )

    @staticmethod
    def to_samples(logits: Tensor, labels: Tensor | None) -> list:
        """Converts logits ``[B, N]`` or ``[B, K, N]`` and labels ``[B]`` to the samples that metrics take."""
        labels = [None] * len(logits) if labels is None else labels.tolist()
        return [dict(pred_scores=scores, gt_label=label) for scores, label in zip(logits, labels)]
