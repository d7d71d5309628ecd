# Tiny-ImageNet (200 classes) at CIFAR's 32 pixels, for linear probes; ImageNet's statistics, as in
# the reference code. Not downloaded: see hsakd_mm/datasets/tiny_imagenet.py.
data_preprocessor = dict(
    type='ImagePreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])

_dataset = dict(type='TinyImageNet', data_root='data/tiny-imagenet-200')

train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        **_dataset,
        split='train',
        pipeline=[
            dict(type='LoadImage'),
            dict(type='torchvision/RandomResizedCrop', size=32),
            dict(type='torchvision/RandomHorizontalFlip'),
            dict(type='PackInputs'),
        ]))

val_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        **_dataset,
        split='val',
        pipeline=[
            dict(type='LoadImage'),
            dict(type='torchvision/Resize', size=32),
            dict(type='PackInputs'),
        ]))
val_evaluator = dict(type='Accuracy', topk=(1, 5))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
