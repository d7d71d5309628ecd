# DKD: ResNet-8x4 learns from the plain ResNet-32x4.
_base_ = '_cifar100.py'

model = dict(backbone=dict(type='CifarResNet', depth=8, width=(32, 64, 128, 256), num_classes=100))

default_hooks = dict(
    distillation=dict(
        checkpoint='work_dirs/cifar100_r32x4',
        teacher=dict(
            backbone=dict(type='CifarResNet', depth=32, width=(32, 64, 128, 256), num_classes=100))))
