# KD from the plain teacher. The bench file names its checkpoint.
_base_ = '_tiny47.py'

model = dict(type='KD', data_preprocessor=_base_.data_preprocessor, backbone=_base_.student)

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        checkpoint='work_dirs/few_labels/strong/seed0',
        teacher=dict(
            type='Classifier', data_preprocessor=_base_.data_preprocessor, backbone=_base_.strong)))
