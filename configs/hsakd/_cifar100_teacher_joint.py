# What the jointly trained CIFAR-100 teachers share: 240 epochs from scratch.
_base_ = '_cifar100_teacher.py'

model = dict(frozen_backbone=False, checkpoint=None)

param_scheduler = dict(milestones=[150, 180, 210])
train_cfg = dict(max_epochs=240)
