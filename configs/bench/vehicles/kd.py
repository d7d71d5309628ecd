# Hinton's KD from the backbone that is also HSAKD's teacher.
_base_ = '_tiny47.py'

model = dict(type='KD', data_preprocessor=_base_.data_preprocessor, backbone=_base_.r18)

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        checkpoint='work_dirs/vehicles/R34/seed0',
        teacher=dict(
            type='Classifier', data_preprocessor=_base_.data_preprocessor, backbone=_base_.r34)))
