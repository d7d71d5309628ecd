# SSKD's teacher: plain_r56, frozen, with a self-supervised head; 6 epochs where the reference code
# has 60. all_methods.py sets model.checkpoint.
_base_ = '_slice.py'

model = dict(
    type='SSKDTeacher',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='CifarResNet', depth=56, num_classes=10))

param_scheduler = dict(milestones=[3, 5])  # 30 and 45
train_cfg = dict(max_epochs=6)
