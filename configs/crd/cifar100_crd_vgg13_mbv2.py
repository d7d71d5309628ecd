# CRD: half-width MobileNetV2 learns from the plain VGG13-bn.
_base_ = '_cifar100_crd.py'

model = dict(
    backbone=dict(type='CifarMobileNetV2', num_classes=100),
    teacher_features=512)

default_hooks = dict(
    distillation=dict(
        checkpoint='work_dirs/cifar100_vgg13',
        teacher=dict(backbone=dict(type='VGG', depth=13, num_classes=100))))

optim_wrapper = dict(optimizer=dict(lr=0.01))
