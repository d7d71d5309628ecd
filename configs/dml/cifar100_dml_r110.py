# DML: four ResNet-110 of bottlenecks.
_base_ = '_cifar100.py'

net = dict(backbone=dict(type='CifarResNet', depth=110, block='bottleneck', num_classes=100))

model = dict(nets=[net] * 4)
