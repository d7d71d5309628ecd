# Branches on akamaster's frozen network, for HSAKD.
_base_ = '_cifar10.py'

model = dict(
    type='HSAKDTeacher',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='CifarResNet', depth=56, num_classes=10, shortcut='pad'),
    branches=dict(type='TailBranches'),
    checkpoint='data/weights/resnet56-4bfd9763.th',
    frozen_backbone=True,
    predict_branches=True)

val_evaluator = [dict(type='Accuracy', topk=(1, )), dict(type='BranchAccuracy')]
test_evaluator = val_evaluator
