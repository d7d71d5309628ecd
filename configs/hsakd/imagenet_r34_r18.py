# HSAKD: ResNet-18 learns from the frozen-backbone ResNet-34 teacher.
_base_ = [
    '../_base_/datasets/imagenet_bs32.py', '../_base_/schedules/imagenet_100e.py',
    '../_base_/default_runtime.py'
]

branches = dict(type='TailBranches')
pretext = dict(type='Rotation')

model = dict(
    type='HSAKD',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=1000),
    branches=branches,
    pretext=pretext,
    temperature=3.0)

default_hooks = dict(
    checkpoint=dict(save_best='accuracy/top1', rule='greater'),
    distillation=dict(
        type='DistillationHook',
        checkpoint='work_dirs/imagenet_r34_teacher',
        teacher=dict(
            type='HSAKDTeacher',
            data_preprocessor=_base_.data_preprocessor,
            backbone=dict(type='TimmBackbone', model_name='resnet34', num_classes=1000),
            branches=branches,
            pretext=pretext)))
