# What the SSKD students on CIFAR-100 share: the weights of the reference code, no Nesterov.
_base_ = '../baselines/_cifar100_plain.py'

model = dict(
    type='SSKD',
    ce_weight=0.1,
    kd_weight=0.9,
    lt_weight=2.7,
    ss_weight=10.0,
    temperature=4.0,
    lt_temperature=4.0,
    ss_temperature=0.5,
    lt_keep=1.0,
    ss_keep=0.75)

optim_wrapper = dict(optimizer=dict(nesterov=False))

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        teacher=dict(type='SSKDTeacher', data_preprocessor=_base_.data_preprocessor)))
