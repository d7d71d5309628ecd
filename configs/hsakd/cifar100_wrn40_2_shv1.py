# HSAKD: ShuffleNetV1 learns from the frozen-backbone WRN-40-2 teacher.
_base_ = '_cifar100_student.py'

model = dict(backbone=dict(type='ShuffleNetV1', num_classes=100))

default_hooks = dict(
    distillation=dict(
        checkpoint='work_dirs/cifar100_wrn40_2_teacher',
        teacher=dict(backbone=dict(type='WideResNet', depth=40, widen_factor=2, num_classes=100))))

optim_wrapper = dict(optimizer=dict(lr=0.01))
