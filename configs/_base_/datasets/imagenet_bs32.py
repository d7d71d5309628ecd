# ImageNet-1k in its class folders (data/imagenet/{train,val}/nXXXXXXXX/*.JPEG), 32 images a GPU:
# with 8 GPUs the paper's batch of 256. Augmentation of the reference code.
data_preprocessor = dict(
    type='ImagePreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    channels_last=True)  # NHWC: on an H100 with --amp a step takes 54 % of the time (docs/bench/gpu_h100)

# ILSVRC holds a few greyscale and CMYK files; it is the one set where that is no mistake.
_dataset = dict(type='ImageFolder', data_root='data/imagenet', non_rgb='convert')

train_dataloader = dict(
    batch_size=32,
    num_workers=5,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        **_dataset,
        split='train',
        pipeline=[
            dict(type='LoadImage'),
            dict(type='torchvision/RandomResizedCrop', size=224),
            dict(type='torchvision/RandomHorizontalFlip'),
            dict(type='PackInputs'),
        ]))

val_dataloader = dict(
    batch_size=64,
    num_workers=5,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        **_dataset,
        split='val',
        pipeline=[
            dict(type='LoadImage'),
            dict(type='torchvision/Resize', size=256),
            dict(type='torchvision/CenterCrop', size=224),
            dict(type='PackInputs'),
        ]))
val_evaluator = dict(type='Accuracy', topk=(1, 5))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
