"""One training step of HSAKD with exact levers on, for the tests that compare it with the plain step."""

import copy

import torch
from torch import nn

from benchmarks.variants import set_statistics
from hsakd_mm.engine.frozen_teacher import freeze_teacher
from hsakd_mm.engine.hooks import CompileHook
from hsakd_mm.engine.small_maps import use_matrix_products
from hsakd_mm.models.distillers.hsakd import HSAKD, HSAKDTeacher

BACKBONE = dict(type='CifarResNet', depth=8, num_classes=5, width=(8, 8, 16, 16))
PREPROCESSOR = dict(type='ImagePreprocessor', mean=[120.0, 110.0, 100.0], std=[60.0, 55.0, 50.0])


def networks() -> tuple[HSAKD, HSAKDTeacher]:
    """A student, and a teacher whose BatchNorms do something."""
    torch.manual_seed(0)
    teacher = HSAKDTeacher(BACKBONE, data_preprocessor=PREPROCESSOR)
    for module in teacher.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    set_statistics(teacher, teacher.forward_branches)
    return HSAKD(BACKBONE, data_preprocessor=PREPROCESSOR), teacher


def step(student: HSAKD, teacher: HSAKDTeacher, levers: set, device: str = 'cpu', backend: str = 'inductor') -> tuple:
    """Losses and gradients, on the CPU, of copies of the two networks on four images."""
    student, teacher = copy.deepcopy(student), copy.deepcopy(teacher)
    student.data_preprocessor.channels_last = 'channels_last' in levers
    student.match_memory_format()
    student.to(device).train()
    freeze_teacher(teacher, student, fold_bn='fold_bn' in levers)
    student.attach_teacher(teacher)
    for model in (student, teacher) if 'small_maps' in levers else ():
        use_matrix_products(model)
    if 'compile' in levers:
        CompileHook(fullgraph=True, backend=backend).compile(student)
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8, generator=generator)
    data = student.data_preprocessor(dict(inputs=images, labels=torch.tensor([0, 3, 4, 1])), True)
    losses = student(**data, mode='loss')
    student.parse_losses(losses)[0].backward()
    gradients = {name: parameter.grad.cpu() for name, parameter in student.named_parameters()}
    return {name: value.detach().cpu() for name, value in losses.items()}, gradients


def assert_same_step(plain: tuple, other: tuple) -> None:
    """To 1e-4, of each value and absolutely."""
    for one, two in zip(plain, other):
        torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-4)
