# Any pictures, data/unlabelled/{train,val}/**, 32 a GPU; augmentation and normalisation of ImageNet's
# networks, which teach. Pictures of a COCO file: ann_file, and crops=True for its boxes.
data_preprocessor = dict(
    type='ImagePreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    channels_last=True)

# Among pictures that nobody sorted some are grey; COCO has such ones too.
_dataset = dict(type='UnlabelledImages', data_root='data/unlabelled', non_rgb='convert')

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
val_evaluator = dict(type='TeacherAgreement')

test_dataloader = val_dataloader
test_evaluator = val_evaluator
