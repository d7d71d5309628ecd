# OKDDip: ResNet-32 as leader of three peers.
_base_ = '_cifar100.py'

model = dict(backbone=dict(type='CifarResNet', depth=32, num_classes=100))
