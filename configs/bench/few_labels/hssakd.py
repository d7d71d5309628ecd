# HSSAKD online: two networks with branches teach each other; the first is handed on.
_base_ = '_tiny47.py'

_net = dict(
    backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=47, channels=(16, 32, 64, 128)),
    branches=dict(type='TailBranches'))

model = dict(
    type='HSSAKDOnline',
    data_preprocessor=_base_.data_preprocessor,
    nets=[_net, _net],
    pretext=dict(type='Rotation'))
