# HSSAKD online: two ShuffleNetV2, from scratch, teach each other.
_base_ = '_cifar100.py'

net = dict(
    backbone=dict(type='ShuffleNetV2', num_classes=100),
    branches=dict(type='TailBranches'))

model = dict(nets=[net, net])

optim_wrapper = dict(optimizer=dict(lr=0.01))
