# Few-shot: the student sees 25 % of CIFAR-100, the same share of each class; its teacher saw all.
_base_ = 'cifar100_r56_r20.py'

train_dataloader = dict(dataset=dict(fraction=0.25, split_seed=0))
