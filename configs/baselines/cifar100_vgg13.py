# Plain VGG13-bn on CIFAR-100.
_base_ = '_cifar100_plain.py'

model = dict(backbone=dict(type='VGG', depth=13, num_classes=100))
