# HSSAKD online: two ResNet-56, from scratch, teach each other.
_base_ = '_cifar100.py'
work_dir = 'work_dirs/hssakd_cifar100_r56'  # the plain one's config has this file's name

net = dict(
    backbone=dict(type='CifarResNet', depth=56, num_classes=100),
    branches=dict(type='TailBranches'))

model = dict(nets=[net, net])
