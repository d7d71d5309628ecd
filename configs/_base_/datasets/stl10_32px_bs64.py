# STL-10 (5,000 labelled training images, 8,000 of test) at CIFAR's 32 pixels, for linear probes.
# Normalised to [-1, 1] as the reference code does, not as the backbone was pretrained.
data_preprocessor = dict(
    type='ImagePreprocessor', mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])

_dataset = dict(type='STL10', data_root='data/stl10', download=True)

train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        **_dataset,
        split='train',
        pipeline=[
            dict(type='torchvision/RandomResizedCrop', size=32),
            dict(type='torchvision/RandomHorizontalFlip'),
            dict(type='PackInputs'),
        ]))

val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        **_dataset,
        split='test',
        pipeline=[dict(type='torchvision/Resize', size=32), dict(type='PackInputs')]))
val_evaluator = dict(type='Accuracy', topk=(1, 5))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
