# HSSAKD online: two VGG13-bn, from scratch, teach each other.
_base_ = '_cifar100.py'

net = dict(
    backbone=dict(type='VGG', depth=13, num_classes=100),
    branches=dict(type='TailBranches'))

model = dict(nets=[net, net])
