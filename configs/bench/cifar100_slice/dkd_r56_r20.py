# DKD from the backbone that is also KD's teacher. beta is its source's for ResNet-56 -> ResNet-20;
# the warm-up is in proportion as the length is: 20 epochs of 240, here of 8.
_base_ = '_slice.py'

model = dict(
    type='DKD',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='CifarResNet', depth=20, num_classes=10),
    beta=2.0)

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        checkpoint='work_dirs/cifar100_slice/R56/seed0',
        ramp_up_epochs=8 * 20 / 240,
        teacher=dict(
            type='Classifier',
            data_preprocessor=_base_.data_preprocessor,
            backbone=dict(type='CifarResNet', depth=56, num_classes=10))))
