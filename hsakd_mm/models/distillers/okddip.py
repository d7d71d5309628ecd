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
    """A leader and K peers that share all but their last stage, from scratch::

        CE(p, y) + Σ_k CE(p_k, y) + w(e)·[Σ_k T²·KL(m_k || p_k) + T²·KL(mean of z_k || p)]

    ``z_k`` are the peers' logits, ``p_k`` and ``p`` the peers' and the leader's classes, each at
    temperature T within a KL, and peer k learns from a mixture of its own::

        m_k = Σ_j a_kj z_j,    a_k = softmax over j of (W_q f_k)·(W_k f_j)

    with ``f_k: [B, C]`` its pooled features and W_q, W_k from C to C/8 without bias. As in the
    code the mixture includes the peer itself, nothing is averaged over the peers, and no target is
    detached: only by way of the mixture do W_q and W_k learn. (The code also adds 1e-7 to each
    probability that teaches; ours is the exact divergence.)

    The leader is the complete backbone: validation and export know nothing else, and with one seed
    it starts as a plain network does. Peers are each a
    :class:`~hsakd_mm.models.branches.tail.TailBranch` of the last stage. On a ResNet for CIFAR that
    is the reference code's cut (``layer1`` and ``layer2`` are shared); its VGG shares more and has
    a classifier of three layers.

    ``w(e) = exp(-5 (1 - min(e, R) / R)²)`` over the epochs e = 0, 1, ..., R = 80 of 300. The epoch
    is the one that mmengine's RuntimeInfoHook tells its MessageHub at the start of each epoch, so
    that a resumed run goes on where the ramp was; without a runner it is 0. An iteration-based loop
    has no epochs and would stay there: train by epoch, or set ``ramp_up_epochs=0``.

    Args:
        num_peers (int): K, without the leader; the code's ``num_branches`` less one.
        temperature (float): T.
        kl_weight (float): Another factor of all KL (``alpha`` of the code).
        ramp_up_epochs (float): R; 0 means w = 1 from the start.
        reduction (int): C is divided by it for W_q and W_k.
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
                f'OKDDip lets two peers or more teach each other, and num_peers is '
                f'{num_peers}: set it to 2 or more, as its source to 3.'
            )
        self.temperature = temperature
        self.kl_weight = kl_weight
        self.ramp_up_epochs = ramp_up_epochs
        shared = len(self.backbone.channels) - 2  # index of the last stage that all share
        width = self.backbone.tail_channels
        with isolated_rng():
            self.peers = nn.ModuleList(TailBranch(self.backbone, shared, self.num_classes) for _ in range(num_peers))
            for peer in self.peers:
                peer.fc.reset_parameters()  # as in the reference code; HSAKD's branches differ
            self.query, self.key = (nn.Linear(width, max(1, width // reduction), bias=False) for _ in range(2))
        self.match_memory_format()

    def ramp(self) -> float:
        """w of the epoch that the runner is in."""
        epoch = MessageHub.get_current_instance().get_info('epoch', 0)
        return ramp_up(epoch, self.ramp_up_epochs)

    def loss(self, inputs: Tensor, labels: Tensor) -> dict:
        taps = self.backbone.forward_taps(inputs)
        leader = self.backbone.forward_head(taps[-1])
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
        losses['ramp'] = leader.new_tensor(ramp, dtype=torch.float32)
        return losses

    def attention_targets(self, features: Tensor, logits: Tensor) -> Tensor:
        """What each peer learns from, ``[B, K, N]``.

        Args:
            features (Tensor): Pooled, ``[B, K, C]``.
            logits (Tensor): ``[B, K, N]``.
        """
        query, key = to_float32(self.query(features)), to_float32(self.key(features))
        # Products and sums, not matmul, which autocast would do in bfloat16.
        energy = (query[:, :, None] * key[:, None]).sum(-1)
        return (energy.softmax(-1)[..., None] * logits[:, None]).sum(2)
