# Branches on a frozen network, which learn its own classes and the rotation of the pictures.
_base_ = '_own.py'

model = dict(
    type='HSAKDTeacher',
    data_preprocessor=_base_.data_preprocessor,
    backbone=_base_.teacher,
    branches=_base_.branches,
    pretext=_base_.pretext,
    frozen_backbone=True,
    predict_branches=True,
    checkpoint='timm://resnet50.a1_in1k')

val_evaluator = dict(type='BranchAccuracy')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=30)  # the branches alone learn
