# The same student without a teacher: same data, augmentation, recipe and number of epochs.
_base_ = [
    '../_base_/datasets/digits_bs32.py', '../_base_/schedules/demo_75e.py',
    '../_base_/default_runtime.py'
]

model = dict(
    type='Classifier',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='TimmBackbone', model_name='resnet18', num_classes=10, channels=(16, 32, 64, 128)))

# Of each class 10 of 100 digits.
train_dataloader = dict(dataset=dict(fraction=0.1))

# An epoch has three steps.
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=10))
