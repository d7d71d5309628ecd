"""CSS: channel self-supervision for online knowledge distillation (Fan et al., 2022).

arXiv 2203.11660. Reference: ``train.py`` and ``resnet_css.py`` of PumpkinsLemon/CSS. The text of the
paper was not available: this file follows the code only.
"""

import logging
from collections.abc import Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.models.branches.tail import TailBranch
from hsakd_mm.models.losses import kl_loss, to_float32
from hsakd_mm.randomness import isolated_rng
from hsakd_mm.registry import MODELS

from .base import BaseDistiller


def mask_corner(tap: Tensor, branch: int, fix_branch3: bool = False) -> Tensor:
    """The input of branch ``branch`` (from 0): ``tap: [B, C, h, w]`` with one corner set to zero.

    The corner is a square of (h // 4)² cells in all channels: top left, bottom right, bottom left, top
    right. Branches from 4 on, and maps less than 4 high, have no masked corner. In the reference code
    only the first column of the last square is masked (it has an index instead of a slice);
    ``fix_branch3`` masks the whole square.
    """
    if branch > 3:
        return tap
    height, width = tap.shape[2:]
    side = height // 4
    row = height - side if branch in (1, 2) else 0
    column = width - side if branch in (1, 3) else 0
    columns = min(side, 1) if branch == 3 and not fix_branch3 else side
    mask = tap.new_ones(height, width)
    mask[row : row + side, column : column + columns] = 0
    return tap * mask


class CSSNet(nn.Module):
    """One network with n branches, which share everything except the last stage and the classifier.

    Branch 0 is the last stage and classifier of the backbone; the others are in ``tails``. Each branch
    has N·n joint logits.

    Args:
        backbone (dict): Config of a staged backbone, with num_classes=N.
        branches (int): n.
        fix_branch3 (bool): As in :func:`mask_corner`.
    """

    def __init__(self, backbone: dict, branches: int, fix_branch3: bool) -> None:
        super().__init__()
        plain = MODELS.build(backbone)
        self.num_classes, self.fix_branch3 = plain.num_classes, fix_branch3
        self._is_told = False
        joint = self.num_classes * branches
        with isolated_rng('branches'):
            self.backbone = MODELS.build(dict(backbone, num_classes=joint))
            # Same initial weights as a plain network, except for the classifier, which is larger.
            own = self.backbone.state_dict()
            self.backbone.load_state_dict(
                {key: value if value.shape == own[key].shape else own[key] for key, value in plain.state_dict().items()}
            )
            self.tails = nn.ModuleList(
                TailBranch(self.backbone, len(self.backbone.channels) - 2, joint) for _ in range(branches - 1)
            )
            for tail in self.tails:
                tail.fc.reset_parameters()  # as in the reference code, unlike HSAKD's branches

    def forward(self, images: Tensor) -> Tensor:
        """Joint logits ``[n, B, N·n]`` of ``images: [B, 3, H, W]``, in float32 or wider."""
        tap = self.backbone.forward_early(images)
        self._tell_of_small(tap, images)
        seen = [mask_corner(tap, branch, self.fix_branch3) for branch in range(1 + len(self.tails))]
        own = self.backbone.forward_head(self.backbone.forward_last(seen[0], images))
        logits = torch.stack([own, *(tail(each) for tail, each in zip(self.tails, seen[1:]))])
        return to_float32(logits)

    def _tell_of_small(self, tap: Tensor, images: Tensor) -> None:
        """Say once that the branches see the same, where a quarter of the map's height is less than a cell."""
        if self.tails and tap.shape[2] < 4 and self.training and not (self._is_told or tap.is_meta):
            self._is_told = True
            print_log(
                f'CSS masks a corner of a map for each branch, and before the last stage this one is {tap.shape[2]} x '
                f'{tap.shape[3]}, too small for it: with images of {images.shape[2]} x {images.shape[3]} its branches '
                f'see the same. Use larger images, or a network that reduces them less.',
                'current',
                logging.WARNING,
            )


@MODELS.register_module()
class CSS(BaseDistiller):
    """Trains two networks t, s from scratch on the same batch with one backward pass.

    z_t^i are the logits of branch i, whose input has its own masked corner and whose label of class y is
    ``y·n + i``. Both terms are means over the n branches, the KL over all N·n logits::

        CE_t + (CE_t / CE_s) · T² · KL(z_s || z_t)  +  CE_s + (CE_s / CE_t) · T² · KL(z_t || z_s)

    with ``CE_t = 1/n Σ_i CE(z_t^i, y·n + i)``. The ratio is the relative utility score: the worse
    network learns more from its peer. The reference code detaches neither ratio nor target, so the
    gradient of a network's loss also reaches its peer. It uses two SGD optimizers with the same
    settings; as SGD updates each parameter independently, the single optimizer here is equivalent
    (it would not be with gradient clipping by norm).

    The prediction of a network is ``1/n Σ_i z^i[:, i::n]``, with corners masked as in training.
    ``nets[0]``, the reference code's ``model_t``, becomes ``net1``. It is used where a single network
    is needed, and with one seed it starts with the weights of a plain network, except for the
    classifier. Export takes the backbone of each network without its classifier, which has N·n
    outputs; its keys are those of the plain backbone, and its last stage is branch 0's.

    Args:
        nets (Sequence[dict]): Two configs, each ``dict(backbone=...)``; any staged backbones of
            the same num_classes.
        branches (int): n; 3 in the reference code.
        temperature (float): T.
        detach (bool): Stop gradients through ratios and targets.
        fix_branch3_mask (bool): As ``fix_branch3`` in :func:`mask_corner`; n >= 4 only.
        data_preprocessor, load_backbone_from: As in :class:`BaseDistiller`; branch 0 is part of the backbone, the
            last stages of the others stay random.

    Raises:
        UserError: Not two networks, different numbers of classes, or no branch.
    """

    def __init__(
        self,
        nets: Sequence[dict],
        branches: int = 3,
        temperature: float = 3.0,
        detach: bool = False,
        fix_branch3_mask: bool = False,
        data_preprocessor: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(data_preprocessor, **kwargs)
        if len(nets) != 2:
            raise UserError(f'CSS trains two networks, and model.nets has {len(nets)}: name two.')
        self.check_nets(nets)
        if not isinstance(branches, int) or branches < 1:
            raise UserError(
                f'CSS expects branches to be an integer of at least 1, and it is {branches!r}: the paper has 3.'
            )
        self.branches = branches
        self.temperature = temperature
        self.detach = detach
        self.net1 = CSSNet(**nets[0], branches=branches, fix_branch3=fix_branch3_mask)
        with isolated_rng('net2'):
            self.net2 = CSSNet(**nets[1], branches=branches, fix_branch3=fix_branch3_mask)
        self.check_same_classes([self.net1.num_classes, self.net2.num_classes])
        self.match_memory_format()

    @property
    def backbones(self) -> list[nn.Module]:
        return [self.net1.backbone, self.net2.backbone]

    @property
    def num_classes(self) -> int:
        return self.net1.num_classes

    def classifiers(self) -> list[tuple[nn.Module, int]]:
        nets = (self.net1, self.net2)
        layers = [net.backbone.get_classifier() for net in nets] + [tail.fc for net in nets for tail in net.tails]
        return [(layer, self.branches) for layer in layers]

    def loss(self, inputs: Tensor, labels: Tensor) -> dict:
        logits = [self.net1(inputs), self.net2(inputs)]
        branch = torch.arange(self.branches, device=labels.device)
        joint_labels = labels * self.branches + branch[:, None]
        ce = [F.cross_entropy(own.flatten(0, 1), joint_labels.flatten()) for own in logits]

        losses = {}
        for number, own in enumerate(logits):
            peer, ratio = logits[1 - number], ce[number] / ce[1 - number]
            if self.detach:
                peer, ratio = peer.detach(), ratio.detach()
            kl = kl_loss(own.flatten(0, 1), peer.flatten(0, 1), self.temperature)
            losses[f'loss_ce_net{number + 1}'] = ce[number]
            losses[f'loss_kl_net{number + 1}'] = ratio * kl
            losses[f'utility_net{number + 1}'] = ratio.detach()
        return losses

    def aggregate(self, logits: Tensor) -> Tensor:
        """Class logits ``[B, N]`` of one network from its joint logits ``[n, B, N·n]``."""
        return torch.stack([own[:, index :: self.branches] for index, own in enumerate(logits)]).mean(0)

    def logits(self, inputs: Tensor) -> Tensor:
        """Each network's class logits, ``[B, 2, N]``."""
        return torch.stack([self.aggregate(net(inputs)) for net in (self.net1, self.net2)], 1)

    def predict(self, inputs: Tensor, labels: Tensor | None = None) -> list:
        """As :meth:`BaseDistiller.predict`. An image also has ``ensemble_scores`` ``[N]``, the mean of
        the two networks' logits, and ``diversity``, the two figures of :func:`diversity`.
        """
        joint = [self.net1(inputs), self.net2(inputs)]
        scores = torch.stack([self.aggregate(own) for own in joint], 1)
        return [
            dict(sample, ensemble_scores=ensemble, diversity=figures)
            for sample, ensemble, figures in zip(
                self.to_samples(scores, labels), scores.mean(1), diversity(*joint).tolist()
            )
        ]


def diversity(first: Tensor, second: Tensor) -> Tensor:
    """Distance between branches, ``[B, 2]``, from the logits ``[n, B, K]`` of two networks.

    Mean L2 distance between the softmax outputs of two branches: over all pairs of the 2n branches, and
    over the n pairs of branches with the same index (``get_diversity`` of the reference code).
    """
    shares = torch.cat([first, second]).softmax(2)
    apart = {(a, b): F.pairwise_distance(shares[a], shares[b]) for a, b in combinations(range(len(shares)), 2)}
    n = len(first)
    mutual = [apart[branch, branch + n] for branch in range(n)]
    return torch.stack([torch.stack(list(apart.values())).mean(0), torch.stack(mutual).mean(0)], 1)
