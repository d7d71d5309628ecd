"""Linear probe: the accuracy of one linear layer on frozen features."""

import os

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

from hsakd_mm.checkpoints.loading import load_checkpoint, load_fitting, refuse_several, sha256
from hsakd_mm.checkpoints.normalisation import trained_normalisation
from hsakd_mm.checkpoints.pretrained import require_rgb
from hsakd_mm.checkpoints.work_dir import find_checkpoint
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.registry import MODELS


@MODELS.register_module()
class LinearProbe(Classifier):
    """A linear classifier on the pooled features of a frozen backbone, as in HSAKD's ``eval_rep.py``.

    The backbone gets no gradient and stays in eval mode, so BatchNorm keeps the statistics of
    pretraining. The backbone's own classifier is neither loaded nor used. A checkpoint of the probe has
    everything that ``tools/test.py`` needs.

    Attributes:
        unused (set[str]): Keys of the backbone's own classifier.

    Args:
        backbone (dict): Config of a :class:`~hsakd_mm.models.backbones.StagedBackbone`.
        num_classes (int): N, the number of classes of the probe's data.
        checkpoint (str): The backbone's weights, loaded when training starts: a training
            checkpoint, an exported backbone (with or without its classifier; timm's VGG only with
            it, since its features pass two of its layers), or a work directory, whose best
            checkpoint is used. With None the backbone stays random, as a baseline.
        data_preprocessor (dict): Normalisation as in the reference code's *probe*, which differs
            from that of its pretraining.
    """

    def __init__(
        self, backbone: dict, num_classes: int, checkpoint: str | None = None, data_preprocessor: dict | None = None
    ) -> None:
        super().__init__(backbone, data_preprocessor)
        self.checkpoint = checkpoint
        self.fc = nn.Linear(self.backbone.num_features, num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)  # as the reference code's MobileNetV2
        nn.init.zeros_(self.fc.bias)
        self.unused = classifier_keys(self.backbone)
        self.backbone.requires_grad_(False).eval()

    @property
    def num_classes(self) -> int:
        """Classes of the probe; ``backbone.num_classes`` are those of a classifier that it does not use."""
        return self.fc.out_features

    def init_weights(self) -> None:
        """Load the backbone's weights from :attr:`checkpoint`; called when training starts.

        Raises:
            UserError: The checkpoint does not exist, is of another network, or takes BGR images.
        """
        super().init_weights()
        if self.checkpoint is None:
            print_log('Probe: no checkpoint, the backbone is random.', 'current')
            return
        path = find_checkpoint(self.checkpoint)
        content = load_checkpoint(path)
        refuse_several(content['state_dict'], path)
        # The probe has a normalisation of its own.
        require_rgb(trained_normalisation(content, path), path)
        reading = load_fitting(
            self.backbone, content, path, 'backbone of the probe', skip=self.unused, may_leave=self.unused.__contains__
        )
        digest = f', SHA-256 {sha256(path)}' if os.path.isfile(path) else ''
        loaded = len(reading.weights.keys() - self.unused)
        print_log(f'Probe: {loaded} tensors of the backbone from {path}{digest}', 'current')

    def train(self, mode: bool = True) -> 'LinearProbe':
        super().train(mode)
        self.backbone.eval()
        return self

    @torch.no_grad()
    def features(self, inputs: Tensor) -> Tensor:
        """Features ``[B, num_features]`` of images ``[B, 3, H, W]`` from the frozen backbone."""
        return self.backbone.pooled(self.backbone.forward_intermediates(inputs)[0])

    def logits(self, inputs: Tensor) -> Tensor:
        return self.fc(self.features(inputs))

    def loss(self, inputs: Tensor, labels: Tensor) -> dict:
        return {'loss_ce': F.cross_entropy(self.logits(inputs), labels)}


def classifier_keys(backbone: nn.Module) -> set[str]:
    """Names of the parameters that ``backbone.classify`` uses; they differ between families.

    A file may have others or none, for the probe does not use them.
    """
    names, parameters = zip(*backbone.named_parameters())
    like = parameters[0]
    with torch.enable_grad():
        logits = backbone.classify(like.new_zeros(2, backbone.num_features))
        used = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
    return {name for name, gradient in zip(names, used) if gradient is not None}
