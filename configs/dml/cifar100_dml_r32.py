# DML: four ResNet-32, as the reference code's default.
_base_ = '_cifar100.py'

net = dict(backbone=dict(type='CifarResNet', depth=32, num_classes=100))

model = dict(nets=[net] * 4)
