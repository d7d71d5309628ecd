# What the plain CIFAR-100 networks share: the recipe of the students they are compared with.
_base_ = [
    '../_base_/datasets/cifar100_bs64.py', '../_base_/schedules/cifar_240e.py',
    '../_base_/default_runtime.py'
]

model = dict(type='Classifier', data_preprocessor=_base_.data_preprocessor)

default_hooks = dict(checkpoint=dict(save_best='accuracy/top1', rule='greater'))
