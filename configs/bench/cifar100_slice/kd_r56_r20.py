# Hinton's KD from the backbone that is also HSAKD's teacher.
_base_ = '_slice.py'

model = dict(
    type='KD',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='CifarResNet', depth=20, num_classes=10))

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        checkpoint='work_dirs/cifar100_slice/R56/seed0',
        teacher=dict(
            type='Classifier',
            data_preprocessor=_base_.data_preprocessor,
            backbone=dict(type='CifarResNet', depth=56, num_classes=10))))
