# SSKD: half-width MobileNetV2 learns from VGG13-bn with a self-supervised head.
_base_ = '_cifar100_sskd.py'

model = dict(backbone=dict(type='CifarMobileNetV2', num_classes=100))

default_hooks = dict(
    distillation=dict(
        checkpoint='work_dirs/cifar100_sskd_vgg13_teacher',
        teacher=dict(backbone=dict(type='VGG', depth=13, num_classes=100))))

optim_wrapper = dict(optimizer=dict(lr=0.01))
