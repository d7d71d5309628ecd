# HSAKD from that teacher; the bench file switches its cheaper variants on.
_base_ = '_cifar10.py'

branches = dict(type='TailBranches')

model = dict(
    type='HSAKD',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='CifarResNet', depth=20, num_classes=10),
    branches=branches,
    pretext=dict(type='Rotation'))

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        checkpoint='work_dirs/front/teacher/seed0',
        check_classes=False,  # as in kd.py
        teacher=dict(
            type='HSAKDTeacher',
            data_preprocessor=_base_.data_preprocessor,
            backbone=dict(type='CifarResNet', depth=56, num_classes=10, shortcut='pad'),
            branches=branches)))
