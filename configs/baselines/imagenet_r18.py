# Plain ResNet-18: the baseline of the same length, data and augmentation.
_base_ = [
    '../_base_/datasets/imagenet_bs32.py', '../_base_/schedules/imagenet_100e.py',
    '../_base_/default_runtime.py'
]

model = dict(
    type='Classifier',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=1000))

default_hooks = dict(checkpoint=dict(save_best='accuracy/top1', rule='greater'))
