# DML: two networks teach each other.
_base_ = '../../demo/plain.py'

_net = dict(
    backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=10, channels=(16, 32, 64, 128)))

model = dict(_delete_=True, type='DML', data_preprocessor=_base_.data_preprocessor, nets=[_net, _net])
