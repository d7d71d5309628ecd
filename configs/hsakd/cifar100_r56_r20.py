# HSAKD: ResNet-20 learns from the frozen-backbone ResNet-56 teacher.
_base_ = '_cifar100_student.py'

model = dict(backbone=dict(type='CifarResNet', depth=20, num_classes=100))

default_hooks = dict(
    distillation=dict(
        checkpoint='work_dirs/cifar100_r56_teacher',
        teacher=dict(backbone=dict(type='CifarResNet', depth=56, num_classes=100))))
