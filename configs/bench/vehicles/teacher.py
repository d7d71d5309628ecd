# The paper's Teacher: plain_r34, frozen, grows branches. The bench file sets model.checkpoint.
_base_ = '_tiny47.py'

model = dict(
    type='HSAKDTeacher',
    data_preprocessor=_base_.data_preprocessor,
    backbone=_base_.r34,
    branches=dict(type='TailBranches'),
    pretext=dict(type='Rotation'),
    frozen_backbone=True,
    predict_branches=True)

val_evaluator = [dict(type='Accuracy', topk=(1, 5)), dict(type='BranchAccuracy')]
test_evaluator = val_evaluator
