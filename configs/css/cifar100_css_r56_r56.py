# CSS: two ResNet-56 with bottlenecks.
_base_ = '_cifar100.py'

net = dict(backbone=dict(type='CifarResNet', depth=56, block='bottleneck', num_classes=100))

model = dict(nets=[net, net])
