# The paper's Teacher: the plain ResNet-32x4, frozen, with branches that learn on top of it.
_base_ = '_cifar100_teacher.py'

model = dict(
    backbone=dict(type='CifarResNet', depth=32, width=(32, 64, 128, 256), num_classes=100),
    checkpoint='work_dirs/cifar100_r32x4')
