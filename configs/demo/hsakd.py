# Stage 2 on the digits: a half-width ResNet-18 learns from the teacher.
_base_ = [
    '../_base_/datasets/digits_bs32.py', '../_base_/schedules/demo_15e.py',
    '../_base_/default_runtime.py'
]

width = (32, 64, 128, 256)

model = dict(
    type='HSAKD',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='TimmBackbone', model_name='resnet18', num_classes=10, channels=width))

default_hooks = dict(
    logger=dict(interval=10),
    distillation=dict(
        type='DistillationHook',
        checkpoint='work_dirs/demo/teacher/seed0',
        teacher=dict(
            type='HSAKDTeacher',
            data_preprocessor=_base_.data_preprocessor,
            backbone=dict(
                type='TimmBackbone', model_name='resnet34', num_classes=10, channels=width))))
