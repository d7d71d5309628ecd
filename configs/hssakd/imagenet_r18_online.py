# HSSAKD online: two ResNet-18, from scratch, teach each other on ImageNet.
_base_ = [
    '../_base_/datasets/imagenet_bs32.py', '../_base_/schedules/imagenet_100e.py',
    '../_base_/default_runtime.py'
]

net = dict(
    backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=1000),
    branches=dict(type='TailBranches'))

model = dict(
    type='HSSAKDOnline',
    data_preprocessor=_base_.data_preprocessor,
    nets=[net, net],
    pretext=dict(type='Rotation'),
    temperature=3.0)

default_hooks = dict(checkpoint=dict(save_best='accuracy/top1', rule='greater'))
