# The paper's Teacher*: backbone and branches from scratch, together.
_base_ = '_tiny47.py'

model = dict(
    type='HSAKDTeacher',
    data_preprocessor=_base_.data_preprocessor,
    backbone=_base_.r34,
    branches=dict(type='TailBranches'),
    pretext=dict(type='Rotation'),
    predict_branches=True)

val_evaluator = [dict(type='Accuracy', topk=(1, 5)), dict(type='BranchAccuracy')]
test_evaluator = val_evaluator
