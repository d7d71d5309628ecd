"""Plain supervised training: the baseline of every comparison, and the base of every method."""
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor

from hsakd_mm.registry import MODELS


@MODELS.register_module()
class Classifier(BaseModel):
    """A backbone trained with cross-entropy.

    Methods derive from it: they change what :meth:`loss` computes, not how a network is validated
    or exported.

    Args:
        backbone (dict): Config of a :class:`~hsakd_mm.models.backbones.StagedBackbone`.
        data_preprocessor (dict): Usually :class:`~hsakd_mm.models.ImagePreprocessor`.
    """

    def __init__(self, backbone: dict, data_preprocessor: dict | None = None) -> None:
        if isinstance(data_preprocessor, dict):
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor)
        self.backbone = MODELS.build(backbone)
        self.match_memory_format()

    def match_memory_format(self) -> None:
        """Keep convolution weights in NHWC order where the images come so."""
        if getattr(self.data_preprocessor, 'channels_last', False):
            self.to(memory_format=torch.channels_last)

    def forward(self, inputs: Tensor, labels: Tensor | None = None, mode: str = 'tensor'):
        """Dispatch on ``mode``, as mmengine's runner calls it.

        Args:
            inputs (Tensor): Normalised images ``[B, 3, H, W]``.
            labels (Tensor): Classes ``[B]``, int64. Needed by ``'loss'``.
            mode (str): ``'loss'`` -> dict of scalars, ``'predict'`` -> list of dicts,
                ``'tensor'`` -> class logits ``[B, N]``.
        """
        if mode == 'loss':
            return self.loss(inputs, labels)
        if mode == 'predict':
            return self.predict(inputs, labels)
        return self.backbone(inputs)

    def loss(self, inputs: Tensor, labels: Tensor) -> dict:
        """``loss_ce``; mmengine sums what has ``loss`` in its name and only logs the rest."""
        return {'loss_ce': F.cross_entropy(self.backbone(inputs), labels)}

    def predict(self, inputs: Tensor, labels: Tensor | None = None) -> list:
        """One dict an image: ``pred_scores`` (logits ``[N]``) and ``gt_label`` (int or None)."""
        return self.samples(self.backbone(inputs), labels)

    @staticmethod
    def samples(logits: Tensor, labels: Tensor | None) -> list:
        """Logits ``[B, N]`` and labels ``[B]`` as the metrics take them."""
        labels = [None] * len(logits) if labels is None else labels.tolist()
        return [dict(pred_scores=scores, gt_label=label) for scores, label in zip(logits, labels)]
