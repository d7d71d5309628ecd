# KD: half-width MobileNetV2 learns from the plain ResNet-50.
_base_ = '_cifar100_kd.py'

model = dict(backbone=dict(type='CifarMobileNetV2', num_classes=100))

default_hooks = dict(
    distillation=dict(
        checkpoint='work_dirs/cifar100_r50',
        teacher=dict(backbone=dict(type='CifarStemResNet', depth=50, num_classes=100))))

optim_wrapper = dict(optimizer=dict(lr=0.01))
