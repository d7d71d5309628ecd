# The same network, frozen, grows branches for HSAKD. The bench file sets model.checkpoint.
_base_ = 'strong.py'

model = dict(
    type='HSAKDTeacher', pretext=dict(type='Rotation', sampled=1), predict_branches=True, frozen_backbone=True)
train_cfg = dict(max_epochs=3, val_interval=1)
val_evaluator = [dict(type='Accuracy', topk=(1, )), dict(type='BranchAccuracy')]
test_evaluator = val_evaluator
