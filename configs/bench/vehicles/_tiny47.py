# What all pretraining of this benchmark shares: 47 classes of Tiny-ImageNet at their own 64 pixels,
# SGD with one cosine. For a CPU the bench file (cpu.py) sets less of it.
_base_ = '../../_base_/default_runtime.py'

data_preprocessor = dict(
    type='ImagePreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
    channels_last=True)

classes = (
    'n01443537', 'n01768244', 'n01882714', 'n01983481', 'n02085620', 'n02123045', 'n02165456',
    'n02236044', 'n02395406', 'n02480495', 'n02669723', 'n02793495', 'n02814533', 'n02823428',
    'n02906734', 'n02917067', 'n02977058', 'n03085013', 'n03100240', 'n03250847', 'n03393912',
    'n03424325', 'n03444034', 'n03447447', 'n03599486', 'n03662601', 'n03670208', 'n03706229',
    'n03796401', 'n03837869', 'n03937543', 'n03977966', 'n04008634', 'n04118538', 'n04146614',
    'n04259630', 'n04285008', 'n04366367', 'n04371430', 'n04465501', 'n04486054', 'n04487081',
    'n04560804', 'n07583066', 'n07720875', 'n07871810', 'n09256479',
)
_images = dict(
    type='TinyImageNet', data_root='data/tiny-imagenet-200', metainfo=dict(classes=classes))
_loader = dict(
    num_workers=4, persistent_workers=True, collate_fn=dict(type='default_collate'))

train_dataloader = dict(
    **_loader,
    batch_size=128,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        **_images,
        split='train',
        pipeline=[
            dict(type='LoadImage'),
            dict(type='torchvision/RandomResizedCrop', size=64, scale=(0.3, 1.0)),
            dict(type='torchvision/RandomHorizontalFlip'),
            dict(type='PackInputs'),
        ]))
val_dataloader = dict(
    **_loader,
    batch_size=256,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **_images,
        split='val',
        pipeline=[
            dict(type='LoadImage'),
            dict(type='torchvision/Resize', size=64),
            dict(type='PackInputs'),
        ]))
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_dataloader = val_dataloader
test_evaluator = val_evaluator

# In bfloat16, on a GPU as on a CPU: all methods alike.
optim_wrapper = dict(
    type='AutocastOptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4))
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, start_factor=0.1, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, eta_min=0),  # to the last epoch
]
train_cfg = dict(by_epoch=True, max_epochs=30, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=128)

default_hooks = dict(logger=dict(interval=20), checkpoint=dict(max_keep_ckpts=1))
randomness = dict(seed=0)

r18 = dict(type='TimmBackbone', model_name='resnet18', num_classes=47)
r34 = dict(type='TimmBackbone', model_name='resnet34', num_classes=47)
