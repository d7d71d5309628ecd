# Plain WRN-16-2 on CIFAR-100.
_base_ = '_cifar100_plain.py'

model = dict(backbone=dict(type='WideResNet', depth=16, widen_factor=2, num_classes=100))
