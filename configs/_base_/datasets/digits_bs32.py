# The demo's digits (tools/prepare_demo_data.py): 32x32, ten classes, real handwriting.
data_preprocessor = dict(
    type='ImagePreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
    channels_last=True)  # faster on a CPU for narrow networks: docs/bench/cpu

_dataset = dict(type='ImageFolder', data_root='data/demo/digits')

train_dataloader = dict(
    batch_size=32,
    num_workers=0,  # a process of its own takes longer than such small pictures
    persistent_workers=False,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        **_dataset,
        split='train',
        # No flip: a mirrored digit is no digit.
        pipeline=[
            dict(type='LoadImage'),
            dict(type='torchvision/RandomResizedCrop', size=32, scale=(0.6, 1.0), ratio=(0.9, 1.1)),
            dict(type='torchvision/ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3),
            dict(type='PackInputs'),
        ]))

val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        **_dataset, split='val', pipeline=[dict(type='LoadImage'), dict(type='PackInputs')]))
val_evaluator = dict(type='Accuracy', topk=(1, ))

test_dataloader = dict(val_dataloader, dataset=dict(val_dataloader['dataset'], split='test'))
test_evaluator = val_evaluator
