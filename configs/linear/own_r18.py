# Linear probe on your own classes at 224 pixels, of a ResNet-18 such as own_r34_r18.py and unlabelled_r34_r18.py train.
_base_ = [
    '../_base_/datasets/imagenet_bs32.py', '../_base_/schedules/linear_100e.py',
    '../_base_/default_runtime.py'
]

model = dict(
    type='LinearProbe',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=1000),
    num_classes=10,
    checkpoint='work_dirs/unlabelled_r34_r18')

_own = dict(data_root='data/own', non_rgb='error')
train_dataloader = dict(dataset=_own)
val_dataloader = dict(dataset=_own)
test_dataloader = dict(dataset=_own)

default_hooks = dict(checkpoint=dict(save_best='accuracy/top1', rule='greater'))
