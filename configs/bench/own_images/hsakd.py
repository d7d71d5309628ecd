# HSAKD without labels: the student learns from the teacher's outputs alone.
_base_ = '_own.py'

model = dict(
    type='HSAKD',
    data_preprocessor=_base_.data_preprocessor,
    backbone=_base_.student,
    branches=_base_.branches,
    pretext=_base_.pretext,
    ce_weight=0.0)

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        checkpoint='work_dirs/own_images/teacher/seed0',
        teacher=dict(
            type='HSAKDTeacher',
            data_preprocessor=_base_.data_preprocessor,
            backbone=_base_.teacher,
            branches=_base_.branches,
            pretext=_base_.pretext)))
val_evaluator = dict(type='TeacherAgreement')
test_evaluator = val_evaluator
