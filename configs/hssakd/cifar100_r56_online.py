# HSSAKD online: two ResNet-56, from scratch, teach each other.
_base_ = '_cifar100.py'

net = dict(
    backbone=dict(type='CifarResNet', depth=56, num_classes=100),
    branches=dict(type='TailBranches'))

model = dict(nets=[net, net])
