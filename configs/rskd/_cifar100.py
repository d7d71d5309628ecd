# What RSKD and its ablations on CIFAR-100 share: the recipe of the plain networks, and an average
# over about one epoch (782 steps) as the pseudo-teacher. The ramp-up is that of OKDDip, 80 epochs of
# 300, in proportion.
_base_ = [
    '../_base_/datasets/cifar100_bs64.py', '../_base_/schedules/cifar_240e.py',
    '../_base_/default_runtime.py'
]

model = dict(
    type='RSKD',
    data_preprocessor=_base_.data_preprocessor,
    pseudo_teacher='ema',
    momentum=0.999,
    temperature=3.0,
    residual_weight=1.0,
    feature_weight=1.0,
    ramp_up_epochs=64)

default_hooks = dict(checkpoint=dict(save_best='accuracy/top1', rule='greater'))
