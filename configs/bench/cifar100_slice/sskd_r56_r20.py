# SSKD from the plain backbone with the self-supervised head. SGD with Nesterov as all runs here; the
# reference code has none.
_base_ = '_slice.py'

model = dict(
    type='SSKD',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='CifarResNet', depth=20, num_classes=10))

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        checkpoint='work_dirs/cifar100_slice/R56_SSP/seed0',
        teacher=dict(
            type='SSKDTeacher',
            data_preprocessor=_base_.data_preprocessor,
            backbone=dict(type='CifarResNet', depth=56, num_classes=10))))
