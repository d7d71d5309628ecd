# HSSAKD online: two ResNet-18 teach each other; the first is handed on.
_base_ = '_tiny47.py'

net = dict(backbone=_base_.r18, branches=dict(type='TailBranches'))

model = dict(
    type='HSSAKDOnline',
    data_preprocessor=_base_.data_preprocessor,
    nets=[net, net],
    pretext=dict(type='Rotation'))
