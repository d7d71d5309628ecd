# Stage 2 on the digits by KD: the same student learns what the same teacher says of its images, without branches.
_base_ = [
    '../_base_/datasets/digits_bs32.py', '../_base_/schedules/demo_75e.py',
    '../_base_/default_runtime.py'
]

width = (16, 32, 64, 128)

model = dict(
    type='KD',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='TimmBackbone', model_name='resnet18', num_classes=10, channels=width))

# Of each class 10 of 100 digits: the teacher has seen more than the student has.
train_dataloader = dict(dataset=dict(fraction=0.1))

default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(interval=10),  # an epoch has three steps
    distillation=dict(
        type='DistillationHook',
        checkpoint='work_dirs/demo/teacher/seed0',
        teacher=dict(
            type='HSAKDTeacher',
            data_preprocessor=_base_.data_preprocessor,
            backbone=dict(
                type='TimmBackbone', model_name='resnet18', num_classes=10, channels=width))))
