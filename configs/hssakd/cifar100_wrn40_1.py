# HSSAKD online: two WRN-40-1, from scratch, teach each other.
_base_ = '_cifar100.py'
work_dir = 'work_dirs/hssakd_cifar100_wrn40_1'  # the plain one's config has this file's name

net = dict(
    backbone=dict(type='WideResNet', depth=40, widen_factor=1, num_classes=100),
    branches=dict(type='TailBranches'))

model = dict(nets=[net, net])
