# HSAKD without labels: ResNet-18 learns from the teacher alone, on any pictures.
_base_ = [
    '../_base_/datasets/unlabelled_bs32.py', '../_base_/schedules/imagenet_100e.py',
    '../_base_/default_runtime.py'
]

branches = dict(type='TailBranches')
pretext = dict(type='Rotation')

model = dict(
    type='HSAKD',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=1000),  # the teacher's
    branches=branches,
    pretext=pretext,
    temperature=3.0,
    ce_weight=0.0)

default_hooks = dict(
    checkpoint=dict(save_best='agreement/top1', rule='greater'),
    distillation=dict(
        type='DistillationHook',
        checkpoint='work_dirs/unlabelled_r34_teacher',
        teacher=dict(
            type='HSAKDTeacher',
            data_preprocessor=_base_.data_preprocessor,
            backbone=dict(type='TimmBackbone', model_name='resnet34', num_classes=1000),
            branches=branches,
            pretext=pretext)))
