# CRD: ResNet-20 learns from the plain ResNet-56.
_base_ = '_cifar100_crd.py'

model = dict(
    backbone=dict(type='CifarResNet', depth=20, num_classes=100),
    teacher_features=64)

default_hooks = dict(
    distillation=dict(
        checkpoint='work_dirs/cifar100_r56',
        teacher=dict(backbone=dict(type='CifarResNet', depth=56, num_classes=100))))
