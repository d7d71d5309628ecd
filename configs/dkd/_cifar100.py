# What DKD on CIFAR-100 shares: temperature 4, alpha 1, the warm-up over 20 epochs, a plain teacher,
# and the recipe of the rows in configs/baselines. beta is the source's for each pair.
_base_ = [
    '../_base_/datasets/cifar100_bs64.py', '../_base_/schedules/cifar_240e.py',
    '../_base_/default_runtime.py'
]

model = dict(
    type='DKD',
    data_preprocessor=_base_.data_preprocessor,
    temperature=4.0,
    alpha=1.0,
    beta=8.0,
    ce_weight=1.0)

default_hooks = dict(
    checkpoint=dict(save_best='accuracy/top1', rule='greater'),
    distillation=dict(
        type='DistillationHook',
        ramp_up_epochs=20,
        teacher=dict(type='Classifier', data_preprocessor=_base_.data_preprocessor)))
