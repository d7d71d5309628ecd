"""DML: networks that teach each other from scratch (Zhang et al., Deep Mutual Learning, CVPR 2018).

Reference: ``train_DML.py`` of DefangChen/OKDDip-AAAI2020, which compares with it.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.models.losses import kl_loss, to_float32
from hsakd_mm.randomness import isolated_rng
from hsakd_mm.registry import MODELS

from .base import BaseDistiller


@MODELS.register_module()
class DML(BaseDistiller):
    """K networks on one batch, one optimizer, one backward::

        Σ_k [CE(p_k(x), y) + T²·KL(softmax(m_k / T) || softmax(z_k / T))],
        m_k = mean of the other networks' logits z_j

    ``pairwise`` is the paper's form for more than two networks: the mean of ``KL(p_j || p_k)`` over the
    others instead of the KL to their mean. For two networks both are the same.

    Where paper and reference code differ, this follows the code: gradients flow through the targets
    into the teaching networks (``detach=True`` stops them; the paper updates one network at a time,
    with the predictions of the others as constants), the target is the mean of logits by default, and
    T is 3, where the paper has no temperature. The code trains four networks, the paper mostly two.
    (The code also adds 1e-7 to each target probability; ours is the exact divergence.)

    Args:
        nets (Sequence[dict]): Two or more configs, each ``dict(backbone=...)``, which may differ;
            they become ``net1``, ``net2``, ... With one seed ``net1`` starts with a plain network's weights.
        temperature (float): T of every KL.
        pairwise (bool): One KL to each other network instead of one to their mean.
        detach (bool): Stop gradients through the targets.
        data_preprocessor, load_backbone_from: As in :class:`BaseDistiller`.

    Raises:
        UserError: Fewer than two networks, or different numbers of classes.
    """

    takes_soft_labels = True

    def __init__(
        self,
        nets: Sequence[dict],
        temperature: float = 3.0,
        pairwise: bool = False,
        detach: bool = False,
        data_preprocessor: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(data_preprocessor, **kwargs)
        if len(nets) < 2:
            raise UserError(f'DML trains at least two networks, and model.nets has {len(nets)}: name two or more.')
        self.check_nets(nets)
        self.temperature = temperature
        self.pairwise = pairwise
        self.detach = detach
        self.names = [f'net{number}' for number in range(1, len(nets) + 1)]
        self._build(self.names[0], **nets[0])
        with isolated_rng():
            for name, net in zip(self.names[1:], nets[1:]):
                self._build(name, **net)
        self.check_same_classes([backbone.num_classes for backbone in self.backbones])
        self.match_memory_format()

    def _build(self, name: str, backbone: dict) -> None:
        self.add_module(name, nn.ModuleDict(dict(backbone=MODELS.build(backbone))))

    @property
    def backbones(self) -> list[nn.Module]:
        return [self.get_submodule(name)['backbone'] for name in self.names]

    def loss(self, inputs: Tensor, labels: Tensor) -> dict:
        logits = [backbone(inputs) for backbone in self.backbones]
        # Before any mean, which autocast would compute in bfloat16.
        logits = [to_float32(each) for each in logits]
        losses = {}
        for index, (name, own) in enumerate(zip(self.names, logits)):
            others = torch.stack(logits[:index] + logits[index + 1 :])
            losses[f'loss_ce_{name}'] = F.cross_entropy(own, labels)
            losses[f'loss_kl_{name}'] = self._learn_from(own, others)
        return losses

    def _learn_from(self, own: Tensor, others: Tensor) -> Tensor:
        """KL of ``own: [B, N]`` to the targets made of ``others: [K - 1, B, N]``."""
        if self.detach:
            others = others.detach()
        targets = others if self.pairwise else others.mean(0, keepdim=True)
        return torch.stack([kl_loss(own, target, self.temperature) for target in targets]).mean()
