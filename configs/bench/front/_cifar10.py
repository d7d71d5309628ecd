# What all runs of this bench share: 6,500 images of CIFAR-10 to train on, 1,500 to judge by. SGD as in the papers,
# with a cosine, so that a budget is one number: train_cfg.max_epochs and, the same, param_scheduler.T_max.
_base_ = ['../../_base_/datasets/cifar100_bs64.py', '../../_base_/default_runtime.py']

data_preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # as the teacher was trained

_images = dict(_delete_=True, type='ImageFolder', data_root='data/cifar10_slice')
_loader = dict(num_workers=0, persistent_workers=False, pin_memory=False)

train_dataloader = dict(
    **_loader,
    dataset=dict(
        **_images,
        split='train',
        pipeline=[
            dict(type='LoadImage'),
            dict(type='torchvision/RandomCrop', size=32, padding=4),
            dict(type='torchvision/RandomHorizontalFlip'),
            dict(type='PackInputs'),
        ]))
val_dataloader = dict(
    **_loader,
    dataset=dict(
        **_images, split='val', pipeline=[dict(type='LoadImage'), dict(type='PackInputs')]))
val_evaluator = dict(type='Accuracy', topk=(1, ))
test_dataloader = val_dataloader
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True))
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=True, T_max=24, convert_to_iter_based=True)
train_cfg = dict(by_epoch=True, max_epochs=24, val_interval=4)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=4, max_keep_ckpts=1))
