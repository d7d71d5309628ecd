# RSKD: residual head and intermediate adapters.
_base_ = '_cifar100.py'

model = dict(backbone=dict(type='CifarResNet', depth=20, num_classes=100))
