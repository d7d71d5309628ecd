"""The method as the authors' script structures a step, in a plain writing of our own, to compare our step with.

From ``train_student_imagenet.py`` of winycg/HSAKD these facts are kept: images come normalised, in float32, in NCHW;
they are copied to the device while the step waits; the four rotations are one batch made there; the teacher runs in the
student's precision; every step reads three losses and one accuracy back (``.item()``) and counts the top-1 and top-5 of
every branch, by joint label and by class. The authors also wrap both networks in DistributedDataParallel on a single
GPU and print every step; these two are left out, in their favour.

The networks are torchvision's ResNets, with branches made of torchvision's layers.
"""

from contextlib import nullcontext

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
TEMPERATURE = 3.0


class AuxiliaryResNet(nn.Module):
    """``images -> (logits [R, N], four branch logits [R, 4N])``, of torchvision's ``resnet18`` or ``resnet34``."""

    def __init__(self, name: str, num_classes: int) -> None:
        super().__init__()
        make = getattr(torchvision.models, name)
        self.backbone = make(num_classes=num_classes)
        tails = [[fresh.layer2, fresh.layer3, fresh.layer4] for fresh in (make() for _ in range(3))]
        for start, tail in enumerate(tails):
            del tail[:start]
        fresh = make().layer4
        width = fresh[-1].conv2.out_channels
        again = [torchvision.models.resnet.BasicBlock(width, width) for _ in fresh]
        self.branches = nn.ModuleList(nn.Sequential(*tail) for tail in [*tails, again])
        self.classifiers = nn.ModuleList(nn.Linear(width, 4 * num_classes) for _ in self.branches)

    def forward(self, images: Tensor) -> tuple:
        net = self.backbone
        features = net.maxpool(net.relu(net.bn1(net.conv1(images))))
        taps = []
        for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
            features = layer(features)
            taps.append(features)
        logits = net.fc(net.avgpool(features).flatten(1))
        joint = [
            classifier(F.adaptive_avg_pool2d(branch(tap), 1).flatten(1))
            for branch, classifier, tap in zip(self.branches, self.classifiers, taps)
        ]
        return logits, joint


def divergence(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    student = F.log_softmax(logits / TEMPERATURE, 1)
    teacher = F.softmax(teacher_logits / TEMPERATURE, 1)
    return F.kl_div(student, teacher, reduction='batchmean') * TEMPERATURE**2


def count_right(logits: Tensor, target: Tensor) -> list:
    """Top-1 and top-5, as tensors."""
    ranked = logits.topk(5, 1).indices
    right = ranked.eq(target[:, None]).float()
    return [right[:, :k].sum() for k in (1, 5)]


class ReferenceStep:
    """``step(images, labels)`` of ``images: float32 [B, 3, H, W]``, normalised, and ``labels: int64 [B]``, on the CPU.

    Args:
        student, teacher (str): torchvision's names.
        num_classes (int): N.
        device (str): Where it runs.
        amp (bool): Forward and losses under bfloat16 autocast.
        phases: Callable that gives a context manager for a phase's name, to time it.
    """

    def __init__(self, student: str, teacher: str, num_classes: int, device: str, amp: bool, phases=None) -> None:
        self.net = AuxiliaryResNet(student, num_classes).to(device).train()
        self.teacher = AuxiliaryResNet(teacher, num_classes).to(device).eval()  # its script leaves requires_grad on
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
        self.device, self.amp = device, amp
        self.phases = phases or (lambda name: nullcontext())
        self.sums: dict = {}

    def __call__(self, images: Tensor, labels: Tensor) -> dict:
        with self.phases('copy'):
            images, labels = images.float().to(self.device), labels.to(self.device)
        self.optimizer.zero_grad()
        autocast = torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.amp)
        with autocast, self.phases('forward'):
            size = images.shape[1:]
            images = torch.stack([torch.rot90(images, turns, (2, 3)) for turns in range(4)], 1).view(-1, *size)
            logits, joint = self.net(images)
            with torch.no_grad(), self.phases('teacher forward'):
                teacher_logits, teacher_joint = self.teacher(images)
            ce = F.cross_entropy(logits[0::4], labels)
            kl = sum(divergence(ours.float(), theirs.float()) for ours, theirs in zip(joint, teacher_joint))
            kl = kl + divergence(logits.float(), teacher_logits.float())
            loss = ce + kl
        with self.phases('backward'):
            loss.backward()
        with self.phases('optimizer'):
            self.optimizer.step()
        with self.phases('bookkeeping'):
            values = dict(loss=loss.item(), ce=ce.item(), kl=kl.item())
            self._count(logits, joint, labels)
        return values

    @torch.no_grad()
    def _count(self, logits: Tensor, joint: list, labels: Tensor) -> None:
        joint_labels = torch.stack([labels * 4 + turn for turn in range(4)], 1).view(-1)
        repeated = labels.view(-1, 1).repeat(1, 4).view(-1)
        counts = [count_right(each, joint_labels) for each in joint]
        by_class = [torch.stack(torch.split(each, 4, 1), 1).sum(2) for each in joint]
        counts += [count_right(each, repeated) for each in by_class]
        counts.append(count_right(logits[0::4], labels))
        for number, pair in enumerate(counts):
            kept = self.sums.get(number, [0, 0])
            self.sums[number] = [before + now for before, now in zip(kept, pair)]
        (self.sums[len(counts) - 1][0] / len(labels)).item()


def normalised(images: Tensor) -> Tensor:
    """uint8 images as the authors' loader makes them: float32, normalised, on the CPU."""
    mean, std = (torch.tensor(each).view(-1, 1, 1) for each in (MEAN, STD))
    return (images.float() - mean) / std
