# DML: four ResNet-20, as in its reference code's default, teach each other; no teacher.
_base_ = '_slice.py'

net = dict(backbone=dict(type='CifarResNet', depth=20, num_classes=10))

model = dict(type='DML', data_preprocessor=_base_.data_preprocessor, nets=[net] * 4)
