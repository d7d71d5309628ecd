# OKDDip: ResNet-110 of bottlenecks as leader of three peers.
_base_ = '_cifar100.py'

model = dict(
    backbone=dict(type='CifarResNet', depth=110, block='bottleneck', num_classes=100))
