# Pascal VOC: 07+12 trainval repeated three times per epoch, evaluated on 07 test; 1000 x 600 pixels,
# flips. As in MMDetection, except for small boxes: MMDetection 3.x treats training boxes under 32
# pixels as background (bbox_min_size), 2.x did not; the fork's own file was not available.
_base_ = ['mmdet::_base_/datasets/voc0712.py', 'mmdet::_base_/default_runtime.py']
custom_imports = dict(imports=['hsakd_mm'], allow_failed_imports=False)

_parts = [
    dict(
        type='VOCDataset',
        data_root='data/VOCdevkit/',
        ann_file=f'{year}/ImageSets/Main/trainval.txt',
        data_prefix=dict(sub_data_root=f'{year}/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=_base_.train_pipeline) for year in ('VOC2007', 'VOC2012')
]
train_dataloader = dict(dataset=dict(dataset=dict(datasets=_parts)))

# The learning rate is for 16 images per step, and is scaled in proportion.
auto_scale_lr = dict(enable=True, base_batch_size=16)
