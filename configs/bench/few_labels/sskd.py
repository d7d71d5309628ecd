# SSKD from the plain teacher with its self-supervised head. The bench file names its checkpoint.
_base_ = '_tiny47.py'

model = dict(type='SSKD', data_preprocessor=_base_.data_preprocessor, backbone=_base_.student)

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        checkpoint='work_dirs/few_labels/sskd_teacher/seed0',
        teacher=dict(
            type='SSKDTeacher', data_preprocessor=_base_.data_preprocessor, backbone=_base_.strong)))
