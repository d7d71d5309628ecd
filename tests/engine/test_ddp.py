"""Two processes (gloo): the teacher is in no bucket, and the gradient is the mean of both shares.

In float64, where the order of additions, which the number of threads decides, leaves no trace.
"""

from types import SimpleNamespace

import pytest
import torch
import torch.multiprocessing as mp
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel
from torch import distributed

from hsakd_mm.engine.hooks import GradientCompressionHook
from hsakd_mm.models.distillers.hsakd import HSAKD, HSAKDTeacher

BACKBONE = dict(type='TimmBackbone', model_name='resnet18', num_classes=5, channels=(8, 8, 16, 16))


def make_student() -> HSAKD:
    torch.manual_seed(0)
    student = HSAKD(BACKBONE)
    student.attach_teacher(HSAKDTeacher(BACKBONE).eval().requires_grad_(False).double())
    return student.double()


def share(rank: int) -> tuple:
    generator = torch.Generator().manual_seed(rank)
    return (
        torch.randn(4, 3, 32, 32, generator=generator, dtype=torch.float64),
        torch.randint(0, 5, (4,), generator=generator),
    )


def gradients(model, student, rank: int) -> dict:
    images, labels = share(rank)
    losses = model(images, labels, mode='loss')
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    return {name: parameter.grad for name, parameter in student.named_parameters()}


def work(rank: int, folder: str, compressed: bool) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group('gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=2)
    student = make_student()
    model = MMDistributedDataParallel(student, device_ids=None, broadcast_buffers=False)
    if compressed:
        GradientCompressionHook().before_train(SimpleNamespace(model=model, logger=MMLogger.get_current_instance()))
    grads = gradients(model, student, rank)
    told = model._get_ddp_logging_data()
    torch.save(
        dict(grads=grads, tensors=told['num_parameter_tensors'], bytes=told['total_parameter_size_bytes']),
        f'{folder}/rank{rank}.pth',
    )
    distributed.destroy_process_group()


@pytest.mark.parametrize('compressed', [False, True])
def test_two_processes(compressed, tmp_path) -> None:
    mp.start_processes(work, (str(tmp_path), compressed), nprocs=2, start_method='fork')
    ranks = [torch.load(tmp_path / f'rank{rank}.pth') for rank in range(2)]
    student = make_student()
    parameters = list(student.parameters())
    alone = [gradients(student, student, rank) for rank in [0]]
    student.zero_grad()
    alone.append(gradients(student, student, 1))
    for rank in ranks:
        assert rank['tensors'] == len(parameters)
        assert rank['bytes'] == sum(parameter.nbytes for parameter in parameters)
        for name, grad in rank['grads'].items():
            mean = (alone[0][name] + alone[1][name]) / 2
            if compressed:
                error = (grad - mean).norm() / mean.norm()
                assert 1e-5 < error < 2**-7, name  # each share is rounded to 8 bits, then their mean
            else:
                torch.testing.assert_close(grad, mean)
