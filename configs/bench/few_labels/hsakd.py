# HSAKD with one of three rotations in each step, its cheaper variant. The bench file names the teacher's checkpoint.
_base_ = '_tiny47.py'

model = dict(
    type='HSAKD',
    data_preprocessor=_base_.data_preprocessor,
    backbone=_base_.student,
    pretext=dict(type='Rotation', sampled=1))

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        checkpoint='work_dirs/few_labels/teacher/seed0',
        teacher=dict(
            type='HSAKDTeacher', data_preprocessor=_base_.data_preprocessor, backbone=_base_.strong)))
