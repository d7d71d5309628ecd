# What OKDDip on CIFAR-100 shares: the recipe of the reference code, 300 epochs of 128 images a step,
# a tenth at 150 and 225, the distillation's weight growing over the first 80.
_base_ = [
    '../_base_/datasets/cifar100_bs64.py', '../_base_/schedules/cifar_240e.py',
    '../_base_/default_runtime.py'
]

model = dict(
    type='OKDDip',
    data_preprocessor=_base_.data_preprocessor,
    num_peers=3,
    temperature=3.0,
    ramp_up_epochs=80)

optim_wrapper = dict(optimizer=dict(lr=0.1))
param_scheduler = dict(milestones=[150, 225])
train_cfg = dict(max_epochs=300)
train_dataloader = dict(batch_size=128)
auto_scale_lr = dict(base_batch_size=128)

default_hooks = dict(checkpoint=dict(save_best='accuracy/top1', rule='greater'))
