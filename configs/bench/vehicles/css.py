# CSS: two ResNet-18 of three branches teach each other; the first is handed on.
_base_ = '_tiny47.py'

net = dict(backbone=_base_.r18)

model = dict(type='CSS', data_preprocessor=_base_.data_preprocessor, nets=[net, net])
