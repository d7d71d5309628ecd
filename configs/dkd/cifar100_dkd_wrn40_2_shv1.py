# DKD: ShuffleNetV1 learns from the plain WRN-40-2.
_base_ = '_cifar100.py'

model = dict(backbone=dict(type='ShuffleNetV1', num_classes=100))

optim_wrapper = dict(optimizer=dict(lr=0.01))

default_hooks = dict(
    distillation=dict(
        checkpoint='work_dirs/cifar100_wrn40_2',
        teacher=dict(
            backbone=dict(type='WideResNet', depth=40, widen_factor=2, num_classes=100))))
