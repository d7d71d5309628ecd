# A teacher without labels: torchvision's ResNet-34, frozen, with branches that learn its own classes
# and the rotation of any pictures, data/unlabelled/{train,val}/**.
_base_ = [
    '../_base_/datasets/unlabelled_bs32.py', '../_base_/schedules/imagenet_100e.py',
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

# How often the branches see the rotation, and the class that the backbone itself sees.
val_evaluator = dict(type='BranchAccuracy')
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='branch/joint_max', rule='greater'))
