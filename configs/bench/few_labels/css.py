# CSS: two networks of three branches teach each other; the first is handed on.
_base_ = '_tiny47.py'

_net = dict(
    backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=47, channels=(16, 32, 64, 128)))

model = dict(type='CSS', data_preprocessor=_base_.data_preprocessor, nets=[_net, _net])
