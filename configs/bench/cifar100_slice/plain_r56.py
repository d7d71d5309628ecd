# The teacher's backbone, three times as long as the students: 24 epochs where the paper has 240.
_base_ = '_slice.py'

model = dict(
    type='Classifier',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='CifarResNet', depth=56, num_classes=10))

param_scheduler = dict(milestones=[15, 18, 21])
train_cfg = dict(max_epochs=24)
