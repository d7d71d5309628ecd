# HSSAKD online: two ResNet-20 teach each other; nothing is trained before.
_base_ = '_slice.py'

net = dict(
    backbone=dict(type='CifarResNet', depth=20, num_classes=10),
    branches=dict(type='TailBranches'))

model = dict(
    type='HSSAKDOnline',
    data_preprocessor=_base_.data_preprocessor,
    nets=[net, net],
    pretext=dict(type='Rotation'))
