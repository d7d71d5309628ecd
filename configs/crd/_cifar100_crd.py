# What the CRD configs on CIFAR-100 share: CE + 0.8 CRD, a plain teacher, images with their index.
_base_ = '../baselines/_cifar100_plain.py'

model = dict(
    type='CRD',
    num_samples=50000,
    crd_weight=0.8,
    kd_weight=0.0,
    dim=128,
    num_negatives=16384,
    temperature=0.07,
    momentum=0.5)

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='torchvision/RandomCrop', size=32, padding=4),
            dict(type='torchvision/RandomHorizontalFlip'),
            dict(type='PackInputs', with_index=True),
        ]))

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        teacher=dict(type='Classifier', data_preprocessor=_base_.data_preprocessor)))
