# What the CIFAR-100 students share.
_base_ = [
    '../_base_/datasets/cifar100_bs64.py', '../_base_/schedules/cifar_240e.py',
    '../_base_/default_runtime.py'
]

branches = dict(type='TailBranches')
pretext = dict(type='Rotation')

model = dict(
    type='HSAKD',
    data_preprocessor=_base_.data_preprocessor,
    branches=branches,
    pretext=pretext,
    temperature=3.0,
    # The ablation's switches, as the method is; README.md has the lines for the other rows.
    kl_branches=1.0,
    kl_unrotated=0.0,
    kl_rotated=1.0,
    ce_branches=0.0)

default_hooks = dict(
    checkpoint=dict(save_best='accuracy/top1', rule='greater'),
    distillation=dict(
        type='DistillationHook',
        teacher=dict(
            type='HSAKDTeacher',
            data_preprocessor=_base_.data_preprocessor,
            branches=branches,
            pretext=pretext)))
