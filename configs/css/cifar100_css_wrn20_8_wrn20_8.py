# CSS: two WRN-20-8 of the reference code, bottlenecks that are eight times as wide inside.
_base_ = '_cifar100.py'

net = dict(
    backbone=dict(type='WideBottleneckResNet', depth=20, widen_factor=8, num_classes=100))

model = dict(nets=[net, net])
