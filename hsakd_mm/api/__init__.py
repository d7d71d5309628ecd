"""hsakd_mm as a library: networks, distillation and files for a training loop of your own, without a config.

    from hsakd_mm import api

    teacher = api.load('work_dirs/teacher')
    student = api.build_network('resnet18', num_classes=10)
    distillation = api.distill(student, teacher, loader)
    optimizer = torch.optim.SGD(distillation.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(100):
        for losses in distillation:
            optimizer.zero_grad()
            losses['loss'].backward()
            optimizer.step()
    api.export(student, 'student.pth')

The losses are those of ``hsakd-mm train``: the same classes compute them. What a user can mend is raised as
:class:`~hsakd_mm.errors.UserError`, one sentence. docs/api.md has an example that runs.
"""

from hsakd_mm.checkpoints.export import Export
from hsakd_mm.errors import UserError

from .building import distill, methods
from .distillation import Distillation
from .files import export, load, save
from .networks import Network, build_network

__all__ = [
    'Distillation',
    'Export',
    'Network',
    'UserError',
    'build_network',
    'distill',
    'export',
    'load',
    'methods',
    'save',
]
