"""Tiny networks and pictures for the library's tests."""

import torch
from torch.utils.data import DataLoader, TensorDataset

from hsakd_mm import api

NARROW = dict(channels=(8, 8, 16, 16))


def narrow(num_classes: int = 10, **arguments) -> api.Network:
    return api.build_network('resnet18', num_classes, **NARROW, **arguments)


def pictures(count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """uint8 ``[count, 3, 32, 32]``, and labels of ten classes."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator), torch.arange(count) % 10


def loader(count: int = 8, batch_size: int = 4) -> DataLoader:
    images, labels = pictures(count)
    return DataLoader(TensorDataset(images, labels, torch.arange(count)), batch_size=batch_size)


def branched_teacher() -> api.Distillation:
    torch.manual_seed(1)
    return api.distill(narrow(), method='HSAKDTeacher')
