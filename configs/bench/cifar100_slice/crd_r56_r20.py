# CRD from the backbone that is also KD's teacher: 4000 images, their index in the batch.
_base_ = '_slice.py'

model = dict(
    type='CRD',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='CifarResNet', depth=20, num_classes=10),
    num_samples=4000,
    teacher_features=64)

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImage'),
            dict(type='torchvision/RandomCrop', size=32, padding=4),
            dict(type='torchvision/RandomHorizontalFlip'),
            dict(type='PackInputs', with_index=True),
        ]))

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        checkpoint='work_dirs/cifar100_slice/R56/seed0',
        teacher=dict(
            type='Classifier',
            data_preprocessor=_base_.data_preprocessor,
            backbone=dict(type='CifarResNet', depth=56, num_classes=10))))
