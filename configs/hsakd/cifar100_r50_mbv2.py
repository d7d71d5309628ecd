# HSAKD: half-width MobileNetV2 learns from the frozen-backbone ResNet-50 teacher.
_base_ = '_cifar100_student.py'

model = dict(backbone=dict(type='CifarMobileNetV2', num_classes=100))

default_hooks = dict(
    distillation=dict(
        checkpoint='work_dirs/cifar100_r50_teacher',
        teacher=dict(backbone=dict(type='CifarStemResNet', depth=50, num_classes=100))))

optim_wrapper = dict(optimizer=dict(lr=0.01))
