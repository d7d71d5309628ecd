# HSSAKD online: two WRN-40-2, from scratch, teach each other.
_base_ = '_cifar100.py'

net = dict(
    backbone=dict(type='WideResNet', depth=40, widen_factor=2, num_classes=100),
    branches=dict(type='TailBranches'))

model = dict(nets=[net, net])
