# SSKD: ResNet-20 learns from ResNet-56 with a self-supervised head.
_base_ = '_cifar100_sskd.py'

model = dict(backbone=dict(type='CifarResNet', depth=20, num_classes=100))

default_hooks = dict(
    distillation=dict(
        checkpoint='work_dirs/cifar100_sskd_r56_teacher',
        teacher=dict(backbone=dict(type='CifarResNet', depth=56, num_classes=100))))
