# 100 epochs, a tenth at 30, 60 and 90: the branches of a teacher with a frozen backbone.
_base_ = 'cifar_240e.py'

param_scheduler = dict(milestones=[30, 60, 90])
train_cfg = dict(max_epochs=100)
