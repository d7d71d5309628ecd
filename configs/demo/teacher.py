# The teacher: a quarter-width ResNet-18 with branches, from scratch, on all 1,000 digits of the training split.
_base_ = [
    '../_base_/datasets/digits_bs32.py', '../_base_/schedules/demo_75e.py',
    '../_base_/default_runtime.py'
]

model = dict(
    type='HSAKDTeacher',
    predict_branches=True,
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='TimmBackbone', model_name='resnet18', num_classes=10, channels=(16, 32, 64, 128)))

val_evaluator = [dict(type='Accuracy', topk=(1, )), dict(type='BranchAccuracy')]
test_evaluator = val_evaluator

# Ten times the images, and four views of each: fewer epochs.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=2, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=2,
        end=12,
        T_max=10,
        convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=12, val_interval=4)
default_hooks = dict(logger=dict(interval=10))
