# CSS: ResNet-110 and ResNet-56 with bottlenecks, the reference code's default.
_base_ = '_cifar100.py'

model = dict(
    nets=[
        dict(backbone=dict(type='CifarResNet', depth=110, block='bottleneck', num_classes=100)),
        dict(backbone=dict(type='CifarResNet', depth=56, block='bottleneck', num_classes=100)),
    ])
