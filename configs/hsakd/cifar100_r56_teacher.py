# The paper's Teacher: the plain ResNet-56, frozen, with branches that learn on top of it.
_base_ = '_cifar100_teacher.py'

model = dict(
    backbone=dict(type='CifarResNet', depth=56, num_classes=100),
    checkpoint='work_dirs/cifar100_r56')
