# HSAKD, and HSAKD* with the other teacher: the bench file names the teacher's checkpoint.
_base_ = '_tiny47.py'

branches = dict(type='TailBranches')
pretext = dict(type='Rotation')

model = dict(
    type='HSAKD',
    data_preprocessor=_base_.data_preprocessor,
    backbone=_base_.r18,
    branches=branches,
    pretext=pretext)

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        checkpoint='work_dirs/vehicles/R34_branches/seed0',
        teacher=dict(
            type='HSAKDTeacher',
            data_preprocessor=_base_.data_preprocessor,
            backbone=_base_.r34,
            branches=branches,
            pretext=pretext)))
