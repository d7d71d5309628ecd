# Plain ResNet-20 on CIFAR-100.
_base_ = '_cifar100_plain.py'

model = dict(backbone=dict(type='CifarResNet', depth=20, num_classes=100))
