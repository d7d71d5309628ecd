"""What every model here shares, whatever it trains: input, dispatch, and how it is validated."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS


class BaseDistiller(BaseModel):
    """A way of training one network or several.

    Args:
        data_preprocessor (dict): Usually :class:`~hsakd_mm.models.ImagePreprocessor`.
    """

    def __init__(self, data_preprocessor: dict | None = None) -> None:
        if isinstance(data_preprocessor, dict):
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor)

    @property
    @abstractmethod
    def backbones(self) -> list[nn.Module]:
        """The networks that are handed on: one, or several where they teach each other."""

    @property
    def num_classes(self) -> int:
        return self.backbones[0].num_classes

    @abstractmethod
    def loss(self, inputs: Tensor, labels: Tensor) -> dict:
        """Scalars; mmengine sums what has ``loss`` in its name and only logs the rest."""

    def logits(self, inputs: Tensor) -> Tensor:
        """Class logits by one plain forward: ``[B, N]``, of K networks ``[B, K, N]``."""
        logits = [backbone(inputs) for backbone in self.backbones]
        return logits[0] if len(logits) == 1 else torch.stack(logits, 1)

    def predict(self, inputs: Tensor, labels: Tensor | None = None) -> list:
        """One dict an image: ``pred_scores`` (logits, ``[N]`` or ``[K, N]``), ``gt_label``."""
        return self.samples(self.logits(inputs), labels)

    def forward(
        self, inputs: Tensor, labels: Tensor | None = None, mode: str = 'tensor', indices: Tensor | None = None
    ):
        """Dispatch on ``mode``, as mmengine's runner calls it.

        Args:
            inputs (Tensor): Normalised images ``[B, 3, H, W]``.
            labels (Tensor): Classes ``[B]``, int64. Needed by ``'loss'``.
            mode (str): ``'loss'`` -> dict of scalars, ``'predict'`` -> list of dicts,
                ``'tensor'`` -> class logits.
            indices (Tensor): The images' places in the data set ``[B]``, where the data gives them;
                only methods that remember images look at them.
        """
        if mode == 'loss':
            return self.loss(inputs, labels)
        if mode == 'predict':
            return self.predict(inputs, labels)
        return self.logits(inputs)

    def match_memory_format(self) -> None:
        """Keep convolution weights in NHWC order where the images come so."""
        if getattr(self.data_preprocessor, 'channels_last', False):
            self.to(memory_format=torch.channels_last)

    @staticmethod
    def require_backbones(nets: Sequence[dict]) -> None:
        """Each of ``model.nets`` names a backbone and nothing else, or UserError."""
        for net in nets:
            if set(net) != {'backbone'}:
                raise UserError(
                    f'each of model.nets is expected to be dict(backbone=dict(...)), and '
                    f'one has {", ".join(sorted(net)) or "nothing"}: put the network '
                    f'under backbone.'
                )

    @staticmethod
    def require_same_classes(classes: Sequence[int]) -> None:
        """Networks that teach each other name the same classes, or UserError."""
        if len(set(classes)) > 1:
            raise UserError(
                f'networks that teach each other need the same classes, and they have '
                f'{" and ".join(map(str, classes))}: set num_classes of all alike.'
            )

    @staticmethod
    def samples(logits: Tensor, labels: Tensor | None) -> list:
        """Logits ``[B, N]`` or ``[B, K, N]`` and labels ``[B]`` as the metrics take them."""
        labels = [None] * len(logits) if labels is None else labels.tolist()
        return [dict(pred_scores=scores, gt_label=label) for scores, label in zip(logits, labels)]
