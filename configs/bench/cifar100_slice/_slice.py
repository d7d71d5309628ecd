# What all runs of this bench share. Data: the slice of CIFAR-100 that bench.py names. Recipe: the
# paper's (configs/_base_), 8 epochs where it has 240, milestones in proportion.
_base_ = [
    '../../_base_/datasets/cifar100_bs64.py', '../../_base_/schedules/cifar_240e.py',
    '../../_base_/default_runtime.py'
]

# Speed on a CPU, for all runs alike: NHWC images, bfloat16 (which halves the time of a step).
data_preprocessor = dict(channels_last=True)
optim_wrapper = dict(type='AutocastOptimWrapper')

_images = dict(_delete_=True, type='ImageFolder', data_root='data/cifar100_slice')
_loader = dict(num_workers=1, pin_memory=False)

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
test_dataloader = val_dataloader

param_scheduler = dict(milestones=[5, 6, 7])
train_cfg = dict(max_epochs=8)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(max_keep_ckpts=1))
