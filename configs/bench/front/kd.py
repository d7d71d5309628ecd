# Hinton's KD; the teacher is akamaster's, which never saw these images.
_base_ = '_cifar10.py'

model = dict(
    type='KD',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='CifarResNet', depth=20, num_classes=10))

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        checkpoint='data/weights/resnet56-4bfd9763.th',
        check_classes=False,  # the file names none; their order is CIFAR-10's
        teacher=dict(
            type='Classifier',
            data_preprocessor=_base_.data_preprocessor,
            backbone=dict(type='CifarResNet', depth=56, num_classes=10, shortcut='pad'))))
