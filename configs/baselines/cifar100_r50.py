# Plain ResNet-50 on CIFAR-100.
_base_ = '_cifar100_plain.py'

model = dict(backbone=dict(type='CifarStemResNet', depth=50, num_classes=100))
