# Plain WRN-40-1 on CIFAR-100.
_base_ = '_cifar100_plain.py'

model = dict(backbone=dict(type='WideResNet', depth=40, widen_factor=1, num_classes=100))
