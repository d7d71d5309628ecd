# The paper's Teacher: plain_r56, frozen, with branches; 10 epochs where the paper has 100.
# bench.py sets model.checkpoint.
_base_ = '_slice.py'

model = dict(
    type='HSAKDTeacher',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='CifarResNet', depth=56, num_classes=10),
    branches=dict(type='TailBranches'),
    pretext=dict(type='Rotation'),
    frozen_backbone=True,
    predict_branches=True)

param_scheduler = dict(milestones=[3, 6, 9])
train_cfg = dict(max_epochs=10)
val_evaluator = [dict(type='Accuracy', topk=(1, 5)), dict(type='BranchAccuracy')]
test_evaluator = val_evaluator
