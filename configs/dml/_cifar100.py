# What DML on CIFAR-100 shares: the recipe of the reference code (DefangChen/OKDDip-AAAI2020), 300
# epochs of 128 images a step, a tenth at 150 and 225.
_base_ = [
    '../_base_/datasets/cifar100_bs64.py', '../_base_/schedules/cifar_240e.py',
    '../_base_/default_runtime.py'
]

model = dict(type='DML', data_preprocessor=_base_.data_preprocessor, temperature=3.0)

optim_wrapper = dict(optimizer=dict(lr=0.1))
param_scheduler = dict(milestones=[150, 225])
train_cfg = dict(max_epochs=300)
train_dataloader = dict(batch_size=128)
auto_scale_lr = dict(base_batch_size=128)

# accuracy/top1 is the best network's; accuracy/net1_top1 ... are each one's.
default_hooks = dict(checkpoint=dict(save_best='accuracy/top1', rule='greater'))
