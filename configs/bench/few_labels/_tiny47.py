# What all pretraining of this bench shares: Tiny-ImageNet's 47 classes at 32 pixels, float32, one thread and no worker,
# for a CPU. A student has 25 labelled images of each class.
_base_ = '../vehicles/_tiny47.py'

_loader = dict(num_workers=0, persistent_workers=False)

train_dataloader = dict(
    **_loader,
    batch_size=64,
    dataset=dict(
        fraction=0.05,
        pipeline=[
            dict(type='LoadImage'),
            dict(type='torchvision/RandomResizedCrop', size=32, scale=(0.3, 1.0)),
            dict(type='torchvision/RandomHorizontalFlip'),
            dict(type='PackInputs'),
        ]))
val_dataloader = dict(
    **_loader,
    dataset=dict(
        pipeline=[
            dict(type='LoadImage'),
            dict(type='torchvision/Resize', size=32),
            dict(type='PackInputs'),
        ]))
test_dataloader = val_dataloader
val_evaluator = dict(topk=(1, ))
test_evaluator = val_evaluator

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(lr=0.05))
param_scheduler = dict(_delete_=True, type='CosineAnnealingLR', by_epoch=True, eta_min=0, convert_to_iter_based=True)
train_cfg = dict(max_epochs=30, val_interval=6)

student = dict(type='TimmBackbone', model_name='resnet18', num_classes=47, channels=(16, 32, 64, 128))
strong = dict(type='TimmBackbone', model_name='resnet18', num_classes=47, channels=(32, 64, 128, 256))
