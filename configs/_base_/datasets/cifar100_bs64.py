# CIFAR-100, 64 images a step in total as in the paper: with several GPUs give each its part
# (train_dataloader.batch_size=32 on two), or add --auto-scale-lr. As in the reference code, the
# last, smaller batch of an epoch is trained on too, and "validation" is the test set.
data_preprocessor = dict(
    type='ImagePreprocessor',
    mean=[129.3105, 124.1085, 112.404],  # .5071, .4867, .4408
    std=[68.2125, 65.4075, 70.4055])  # .2675, .2565, .2761

_dataset = dict(type='CIFAR100', data_root='data/cifar100', download=True)

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
            dict(type='torchvision/RandomCrop', size=32, padding=4),
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
    dataset=dict(**_dataset, split='test', pipeline=[dict(type='PackInputs')]))
val_evaluator = dict(type='Accuracy', topk=(1, 5))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
