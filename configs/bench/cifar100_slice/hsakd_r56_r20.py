# HSAKD from the frozen-backbone teacher.
_base_ = '_slice.py'

branches = dict(type='TailBranches')
pretext = dict(type='Rotation')

model = dict(
    type='HSAKD',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='CifarResNet', depth=20, num_classes=10),
    branches=branches,
    pretext=pretext)

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        checkpoint='work_dirs/cifar100_slice/R56_branches/seed0',
        teacher=dict(
            type='HSAKDTeacher',
            data_preprocessor=_base_.data_preprocessor,
            backbone=dict(type='CifarResNet', depth=56, num_classes=10),
            branches=branches,
            pretext=pretext)))
