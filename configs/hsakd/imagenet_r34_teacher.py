# The paper's Teacher: torchvision's ResNet-34, frozen, with branches that learn on top of it.
_base_ = [
    '../_base_/datasets/imagenet_bs32.py', '../_base_/schedules/imagenet_100e.py',
    '../_base_/default_runtime.py'
]

model = dict(
    type='HSAKDTeacher',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='TimmBackbone', model_name='resnet34', num_classes=1000),
    branches=dict(type='TailBranches'),
    pretext=dict(type='Rotation'),
    frozen_backbone=True,
    predict_branches=True,  # the checkpoint is chosen by them
    checkpoint='torchvision://resnet34')

# The teacher's branches choose its checkpoint, as in the reference code.
val_evaluator = [dict(type='Accuracy', topk=(1, 5)), dict(type='BranchAccuracy')]
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='branch/joint_max', rule='greater'))
