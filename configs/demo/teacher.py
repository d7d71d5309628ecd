# Stage 1 on the digits: backbone and branches of a half-width ResNet-34, from scratch.
_base_ = [
    '../_base_/datasets/digits_bs32.py', '../_base_/schedules/demo_15e.py',
    '../_base_/default_runtime.py'
]

model = dict(
    type='HSAKDTeacher',
    predict_branches=True,
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='TimmBackbone', model_name='resnet34', num_classes=10, channels=(32, 64, 128, 256)))

val_evaluator = [dict(type='Accuracy', topk=(1, )), dict(type='BranchAccuracy')]
test_evaluator = val_evaluator
default_hooks = dict(logger=dict(interval=10))
