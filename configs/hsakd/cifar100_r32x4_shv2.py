# HSAKD: ShuffleNetV2 learns from the frozen-backbone ResNet-32x4 teacher.
_base_ = '_cifar100_student.py'

model = dict(backbone=dict(type='ShuffleNetV2', num_classes=100))

default_hooks = dict(
    distillation=dict(
        checkpoint='work_dirs/cifar100_r32x4_teacher',
        teacher=dict(backbone=dict(
            type='CifarResNet', depth=32, width=(32, 64, 128, 256), num_classes=100))))

optim_wrapper = dict(optimizer=dict(lr=0.01))
