# HSSAKD online: two ResNet-32x4, from scratch, teach each other.
_base_ = '_cifar100.py'

net = dict(
    backbone=dict(type='CifarResNet', depth=32, width=(32, 64, 128, 256), num_classes=100),
    branches=dict(type='TailBranches'))

model = dict(nets=[net, net])
