# Linear probe on Tiny-ImageNet: half-width MobileNetV2, pretrained on CIFAR-100 with a VGG13-bn
# teacher.
_base_ = [
    '../_base_/datasets/tiny_imagenet_32px_bs64.py', '../_base_/schedules/linear_100e.py',
    '../_base_/default_runtime.py'
]

model = dict(
    type='LinearProbe',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='CifarMobileNetV2', num_classes=100),
    num_classes=200,
    checkpoint='work_dirs/cifar100_vgg13_mbv2')

default_hooks = dict(checkpoint=dict(save_best='accuracy/top1', rule='greater'))
