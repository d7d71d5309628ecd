"""OKDDip: Online Knowledge Distillation with Diverse Peers (Chen et al., AAAI 2020).

Reference: ``train_GL.py`` and ``models/model_cifar/resnet_GL.py`` of DefangChen/OKDDip-AAAI2020.
"""

import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub
from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.models.branches.tail import TailBranch
from hsakd_mm.models.losses import kl_loss, ramp_up, to_float32
from hsakd_mm.randomness import isolated_rng
from hsakd_mm.registry import MODELS

from .plain import Classifier


@MODELS.register_module()
class OKDDip(Classifier):
    """Trains a leader and K peers, which share all but their last stage, from scratch::

        CE(p, y) + Σ_k CE(p_k, y) + w(e)·[Σ_k T²·KL(m_k || p_k) + T²·KL(mean of z_k || p)]

    ``z_k`` are the logits of the peers, ``p_k`` and ``p`` the class distributions of peers and leader
    (at temperature T within a KL), and the target of peer k is a mixture with its own weights::

        m_k = Σ_j a_kj z_j,    a_k = softmax over j of (W_q f_k)·(W_k f_j)

    with ``f_k: [B, C]`` its pooled features and W_q, W_k from C to C/8 without bias. As in the code,
    the mixture includes the peer itself, the terms are summed over the peers, and targets are not
    detached: W_q and W_k get their gradient through the mixture only. (The code also adds 1e-7 to each
    target probability; ours is the exact divergence.)

    The leader is the complete backbone, the only part that is validated and exported; with one seed it
    starts with the weights of a plain network. Each peer is a
    :class:`~hsakd_mm.models.branches.tail.TailBranch` of the last stage. On a ResNet for CIFAR this
    shares ``layer1`` and ``layer2``, as the reference code does; the VGG of that code shares more and
    has a classifier of three layers.

    ``w(e) = exp(-5 (1 - min(e, R) / R)²)`` over the epochs e = 0, 1, ..., with R = 80 of 300. The epoch
    is read from mmengine's MessageHub, which RuntimeInfoHook updates at the start of each epoch, so
    that a resumed run continues the ramp; without a runner it is 0. In an iteration-based loop the
    epoch stays 0: train by epoch, or set ``ramp_up_epochs=0``.

    Args:
        num_peers (int): K, without the leader; ``num_branches - 1`` of the code.
        temperature (float): T.
        kl_weight (float): Additional weight of every KL (``alpha`` of the code).
        ramp_up_epochs (float): R; 0 means w = 1 from the start.
        reduction (int): W_q and W_k have C / ``reduction`` outputs.
        Others: As in :class:`Classifier`.

    Raises:
        UserError: Fewer than two peers.
    """

    def __init__(
        self,
        *args,
        num_peers: int = 3,
        temperature: float = 3.0,
        kl_weight: float = 1.0,
        ramp_up_epochs: float = 80.0,
        reduction: int = 8,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(num_peers, int) or num_peers < 2:
            raise UserError(
                f'OKDDip needs at least two peers, and num_peers is '
                f'{num_peers}: set it to 2 or more (the source has 3).'
            )
        self.temperature = temperature
        self.kl_weight = kl_weight
        self.ramp_up_epochs = ramp_up_epochs
        shared = len(self.backbone.channels) - 2  # index of the last shared stage
        with isolated_rng():
            self.peers = nn.ModuleList(TailBranch(self.backbone, shared, self.num_classes) for _ in range(num_peers))
            width = self.backbone.tail_channels
            for peer in self.peers:
                peer.fc.reset_parameters()  # as in the reference code, unlike HSAKD's branches
            self.query, self.key = (nn.Linear(width, max(1, width // reduction), bias=False) for _ in range(2))
        self.match_memory_format()

    @property
    def counts_epochs(self) -> bool:
        return self.ramp_up_epochs > 0

    def ramp(self) -> float:
        """w of the runner's current epoch."""
        epoch = MessageHub.get_current_instance().get_info('epoch', 0)
        return ramp_up(epoch, self.ramp_up_epochs)

    def loss(self, inputs: Tensor, labels: Tensor) -> dict:
        features, taps = self.backbone.forward_intermediates(inputs)
        leader = self.backbone.forward_head(features)
        features = [peer.stages(taps[-2]).mean((2, 3)) for peer in self.peers]
        logits = to_float32(torch.stack([peer.fc(own) for peer, own in zip(self.peers, features)], 1))
        targets = self.attention_targets(torch.stack(features, 1), logits)

        ramp = self.ramp()
        weight = ramp * self.kl_weight
        losses = {
            'loss_ce_leader': F.cross_entropy(leader, labels),
            'loss_kl_leader': weight * kl_loss(leader, logits.mean(1), self.temperature),
        }
        for index in range(len(self.peers)):
            own, target = logits[:, index], targets[:, index]
            losses[f'loss_ce_peer{index + 1}'] = F.cross_entropy(own, labels)
            losses[f'loss_kl_peer{index + 1}'] = weight * kl_loss(own, target, self.temperature)
        losses['ramp'] = leader.new_full((), ramp, dtype=torch.float32)  # new_tensor would wait for a GPU
        return losses

    def attention_targets(self, features: Tensor, logits: Tensor) -> Tensor:
        """Targets of the peers, ``[B, K, N]``: mixtures of their logits.

        Args:
            features (Tensor): Pooled, ``[B, K, C]``.
            logits (Tensor): ``[B, K, N]``.
        """
        query, key = to_float32(self.query(features)), to_float32(self.key(features))
        # Products and sums instead of matmul, which autocast would compute in bfloat16.
        energy = (query[:, :, None] * key[:, None]).sum(-1)
        return (energy.softmax(-1)[..., None] * logits[:, None]).sum(2)
