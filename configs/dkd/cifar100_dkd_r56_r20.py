# DKD: ResNet-20 learns from the plain ResNet-56.
_base_ = '_cifar100.py'

model = dict(
    backbone=dict(type='CifarResNet', depth=20, num_classes=100),
    beta=2.0)

default_hooks = dict(
    distillation=dict(
        checkpoint='work_dirs/cifar100_r56',
        teacher=dict(
            backbone=dict(type='CifarResNet', depth=56, num_classes=100))))
