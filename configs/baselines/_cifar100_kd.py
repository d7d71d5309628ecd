# What the KD baselines on CIFAR-100 share: 0.1 CE + 0.9 KL at temperature 4, a plain teacher.
_base_ = '_cifar100_plain.py'

model = dict(type='KD', temperature=4.0, ce_weight=0.1, kd_weight=0.9)

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        teacher=dict(type='Classifier', data_preprocessor=_base_.data_preprocessor)))
