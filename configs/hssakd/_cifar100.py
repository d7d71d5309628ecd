# What the online rows on CIFAR-100 share: the students' recipe, one optimizer for both networks.
_base_ = [
    '../_base_/datasets/cifar100_bs64.py', '../_base_/schedules/cifar_240e.py',
    '../_base_/default_runtime.py'
]

model = dict(
    type='HSSAKDOnline',
    data_preprocessor=_base_.data_preprocessor,
    pretext=dict(type='Rotation'),
    temperature=3.0)

# accuracy/top1 is the better network's, by which the reference code chooses.
default_hooks = dict(checkpoint=dict(save_best='accuracy/top1', rule='greater'))
