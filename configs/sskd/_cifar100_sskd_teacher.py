# What the SSKD teachers on CIFAR-100 share: 60 epochs for the head, a tenth at 30 and 45.
_base_ = [
    '../_base_/datasets/cifar100_bs64.py', '../_base_/schedules/cifar_240e.py',
    '../_base_/default_runtime.py'
]

model = dict(type='SSKDTeacher', data_preprocessor=_base_.data_preprocessor)

optim_wrapper = dict(optimizer=dict(nesterov=False))
param_scheduler = dict(milestones=[30, 45])
# No save_best: the accuracy is the frozen backbone's throughout, and the head of the last epoch is
# what the reference code's students learn from.
train_cfg = dict(max_epochs=60)
