# Plain ResNet-32x4 on CIFAR-100.
_base_ = '_cifar100_plain.py'

model = dict(backbone=dict(type='CifarResNet', depth=32, width=(32, 64, 128, 256), num_classes=100))
