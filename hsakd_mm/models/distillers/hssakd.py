"""HSSAKD online: two networks with branches teach each other (Yang et al., TNNLS 2024).

The journal version of HSAKD. Its offline form is :mod:`.hsakd`; the authors did not change that code.
Reference: ``train_online_kd_cifar.py`` and ``mutual_kd_net.py`` of winycg/HSAKD.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.models.branches.pairing import pair_by_stride
from hsakd_mm.models.losses import kl_loss
from hsakd_mm.randomness import isolated_rng
from hsakd_mm.registry import MODELS

from .branched import BranchedDistiller, BranchedNet, check_branch_interval, is_branch_step


@MODELS.register_module()
class HSSAKDOnline(BranchedDistiller):
    """Two networks a, b from scratch on one batch, one optimizer, one backward::

        Σ_n [CE(p_n(x), y) + Σ_l CE(q_l^n(t_j x), k_j)]
          + KL(p_b || p_a) + KL(p_a || p_b) + Σ_l [KL(q_l^b || q_l^a) + KL(q_l^a || q_l^b)]

    Cross-entropy of p uses the unrotated images, all other terms all M views. The target of each KL
    is detached. Unlike in the offline student, the branches have cross-entropy, because no network is
    trained beforehand. :func:`~hsakd_mm.models.branches.pairing.pair_by_stride` pairs the branches of
    networks of different architectures.

    Args:
        nets (Sequence[dict]): Two configs, each ``dict(backbone=..., branches=...)``; they become
            ``net1`` and ``net2``. With one seed ``net1`` starts with the weights of a plain network.
        temperature (float): T of every KL; 3 in the paper.
        branch_interval (int): Branches and rotations in every n-th step only. The steps between are those of DML, at
            this temperature: ``CE + KL(p)`` of the unrotated images. 1: in all, as in the paper.
        Others: As in :class:`BranchedDistiller`.

    Raises:
        UserError: Not two networks, or different numbers of classes.
    """

    takes_soft_labels = True

    def __init__(self, nets: Sequence[dict], temperature: float = 3.0, branch_interval: int = 1, **kwargs) -> None:
        super().__init__(**kwargs)
        self.branch_interval = check_branch_interval(branch_interval)
        if len(nets) != 2:
            raise UserError(f'HSSAKDOnline trains two networks, and model.nets has {len(nets)}: name two.')
        self.temperature = temperature
        self.net1 = self._build(**nets[0])
        with isolated_rng('net2'):
            self.net2 = self._build(**nets[1])
        self.check_same_classes([backbone.num_classes for backbone in self.backbones])
        self.match_memory_format()

    def _build(self, backbone: dict, branches: dict | None = None) -> BranchedNet:
        return BranchedNet(backbone, branches, self.pretext.num_views)

    @property
    def backbones(self) -> list[nn.Module]:
        return [net.backbone for net in self.branched_nets]

    @property
    def branched_nets(self) -> list:
        return [self.net1, self.net2]

    def loss(self, inputs: Tensor, labels: Tensor) -> dict:
        with_branches, pretext = is_branch_step(self.branch_interval), self.pretext.draw()
        if with_branches:
            images, joint_labels = pretext.expand(inputs), pretext.joint_labels(labels)
            outputs = [net.forward_branches(images) for net in self.branched_nets]
        else:
            outputs = [(net.backbone(inputs), []) for net in self.branched_nets]
        losses = {}
        for number, (own, peer) in enumerate((outputs, outputs[::-1]), 1):
            logits, branch_logits = own
            unrotated = pretext.unrotated(logits) if with_branches else logits
            losses[f'loss_ce_net{number}'] = F.cross_entropy(unrotated, labels)
            losses[f'loss_kl_logits_net{number}'] = self._learn_from(logits, peer[0])
            for depth, (joint_logits, teacher) in enumerate(zip(branch_logits, self._teachers(number)), 1):
                losses[f'loss_ce_branch{depth}_net{number}'] = F.cross_entropy(joint_logits, joint_labels)
                losses[f'loss_kl_branch{depth}_net{number}'] = self._learn_from(joint_logits, peer[1][teacher])
        return losses

    def _learn_from(self, logits: Tensor, peer_logits: Tensor) -> Tensor:
        return kl_loss(logits, peer_logits.detach(), self.temperature)

    def _teachers(self, number: int) -> list[int]:
        """For each branch of net ``number``, the index of the other net's branch."""
        strides = [backbone.strides for backbone in self.backbones]
        return pair_by_stride(strides[number - 1], strides[2 - number])
