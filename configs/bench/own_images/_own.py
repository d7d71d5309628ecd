# What all pretraining of this bench shares: a detector's own pictures (data/coco until
# tools/pretrain_and_transfer.sh names others), 224 pixels, SGD with one cosine.
_base_ = '../../_base_/default_runtime.py'

data_preprocessor = dict(
    type='ImagePreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    channels_last=True)

_loader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'))
_pictures = dict(type='UnlabelledImages', data_root='data/coco', non_rgb='convert')

train_dataloader = dict(
    **_loader,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        **_pictures,
        ann_file='annotations/instances_train2017.json',
        split='train2017',
        pipeline=[
            dict(type='LoadImage'),
            dict(type='torchvision/RandomResizedCrop', size=224, scale=(0.2, 1.0)),
            dict(type='torchvision/RandomHorizontalFlip'),
            dict(type='PackInputs'),
        ]))
val_dataloader = dict(
    **_loader,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **_pictures,
        ann_file='annotations/instances_val2017.json',
        split='val2017',
        pipeline=[
            dict(type='LoadImage'),
            dict(type='torchvision/Resize', size=(224, 224)),
            dict(type='PackInputs'),
        ]))
test_dataloader = val_dataloader

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4))
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, start_factor=0.1, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, eta_min=0),  # to the last epoch
]
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=5)
val_cfg = dict()
test_cfg = dict()

default_hooks = dict(logger=dict(interval=20), checkpoint=dict(max_keep_ckpts=1))
randomness = dict(seed=0)

pretext = dict(type='Rotation')
branches = dict(type='LightBranches')
student = dict(type='TimmBackbone', model_name='resnet18', num_classes=1000)
teacher = dict(type='TimmBackbone', model_name='resnet50', num_classes=1000)
