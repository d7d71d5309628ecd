"""Is this teacher trained? Its accuracy against the best guess, before the first step."""

import math
from dataclasses import dataclass

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn

from hsakd_mm.errors import UserError

BRANCH_IMAGES = 1024  # per rank: the branches cost many forwards, and few images tell


@dataclass
class Measured:
    """A share of images named correctly, and what always naming one label would reach."""

    share: float
    chance: float
    count: int

    def require_better_than_chance(self, what: str, source: str) -> None:
        # Three standard deviations of a guess: a lucky one on a small set is no teacher either.
        spread = math.sqrt(self.chance * (1 - self.chance) / self.count)
        if self.share <= self.chance + 3 * spread:
            raise UserError(
                f'the teacher reaches a {what} of {self.share:.2%} on {self.count} validation '
                f'images, which is no better than chance ({self.chance:.2%} by always naming the '
                f'most frequent label): check that {source} is a trained teacher, and that its '
                f'classes and input normalisation are those of this data; to train with it all the '
                f'same, set default_hooks.distillation.check=False.'
            )


@torch.no_grad()
def measure_teacher(teacher: nn.Module, dataloader) -> dict:
    """Top-1 of the backbone over all ranks' shares of a loader; the branches' on the first part.

    Images are normalised by the teacher's own data preprocessor.

    Samplers pad the last shares, so that with several ranks up to a handful of images count
    twice: enough to tell a trained network from a wrong file.

    Returns:
        dict[str, Measured]: ``'top-1'``, and of a teacher with branches ``'joint accuracy of
        branch l'``.
    """
    classes = teacher.num_classes
    pretext: nn.Module = getattr(teacher, 'pretext', None)
    top1, seen = _Counter(classes), 0
    # SSKD's teacher has a pretext task and no branches.
    joint = [_Counter(classes * pretext.num_views) for _ in getattr(teacher, 'branches', ())]
    for batch in dataloader:
        batch = teacher.data_preprocessor(batch, False)
        images, labels = batch['inputs'], batch['labels']
        top1.add(teacher.logits(images), labels)
        if joint and seen < BRANCH_IMAGES:
            _, branch_logits = teacher.forward_branches(pretext.expand(images))
            for counter, logits in zip(joint, branch_logits):
                counter.add(logits, pretext.joint_labels(labels))
        seen += len(images)
    device = next(teacher.parameters()).device
    measured = {'top-1': top1.merge(device)}
    for depth, counter in enumerate(joint, 1):
        measured[f'joint accuracy of branch {depth}'] = counter.merge(device)
    return measured


class _Counter:
    """Rows named correctly, and rows seen of each label."""

    def __init__(self, labels: int) -> None:
        self.counts = torch.zeros(1 + labels, dtype=torch.int64)

    def add(self, logits: Tensor, labels: Tensor) -> None:
        self.counts[0] += (logits.argmax(1) == labels).sum().cpu()
        self.counts[1:] += labels.bincount(minlength=len(self.counts) - 1).cpu()

    def merge(self, device: torch.device) -> Measured:
        counts = self.counts.to(device)  # NCCL reduces on the GPU only
        all_reduce(counts)
        correct, seen = counts[0].item(), counts[1:]
        count = int(seen.sum())
        return Measured(correct / count, seen.max().item() / count, count)
