# SSKD from the backbone that is also HSAKD's teacher, with its self-supervised head.
_base_ = '_tiny47.py'

model = dict(type='SSKD', data_preprocessor=_base_.data_preprocessor, backbone=_base_.r18)

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        checkpoint='work_dirs/vehicles/R34_SSP/seed0',
        teacher=dict(
            type='SSKDTeacher', data_preprocessor=_base_.data_preprocessor, backbone=_base_.r34)))
