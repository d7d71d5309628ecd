# Plain WRN-40-2 on CIFAR-100.
_base_ = '_cifar100_plain.py'

model = dict(backbone=dict(type='WideResNet', depth=40, widen_factor=2, num_classes=100))
