# Feature distillation on Tiny-ImageNet's pictures without their labels.
_base_ = 'hsakd_tiny.py'

model = dict(
    _delete_=True,
    type='FeatureDistillation',
    data_preprocessor=_base_.data_preprocessor,
    backbone=_base_.r18,
    teacher_features=512)

default_hooks = dict(
    distillation=dict(
        _delete_=True,
        type='DistillationHook',
        checkpoint='work_dirs/vehicles/R34/seed0',
        teacher=dict(
            type='Classifier',
            data_preprocessor=_base_.data_preprocessor,
            backbone=_base_.r34)))
