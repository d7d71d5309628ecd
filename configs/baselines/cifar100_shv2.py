# Plain ShuffleNetV2 on CIFAR-100.
_base_ = '_cifar100_plain.py'

model = dict(backbone=dict(type='ShuffleNetV2', num_classes=100))

optim_wrapper = dict(optimizer=dict(lr=0.01))
