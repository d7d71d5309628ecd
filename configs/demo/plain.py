# The same student without a teacher: same data, augmentation, recipe and length.
_base_ = [
    '../_base_/datasets/digits_bs32.py', '../_base_/schedules/demo_15e.py',
    '../_base_/default_runtime.py'
]

model = dict(
    type='Classifier',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='TimmBackbone', model_name='resnet18', num_classes=10, channels=(32, 64, 128, 256)))

default_hooks = dict(logger=dict(interval=10))
