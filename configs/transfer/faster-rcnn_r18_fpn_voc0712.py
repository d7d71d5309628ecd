# Faster R-CNN R18-FPN on Pascal VOC: 07+12 trainval, 07 test; 4 epochs of the data 3 times over.
# tools/transfer_det.sh sets where the backbone's weights come from, and refuses a partial fit.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py', 'mmdet::_base_/datasets/voc0712.py',
    'mmdet::_base_/default_runtime.py'
]
custom_imports = dict(imports=['hsakd_mm'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        depth=18,
        init_cfg=dict(_delete_=True, type='hsakd_mm.StrictPretrained', checkpoint=None)),
    neck=dict(in_channels=[64, 128, 256, 512]),
    roi_head=dict(bbox_head=dict(num_classes=20)))

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=4, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=4, by_epoch=True, milestones=[3], gamma=0.1)
]

# The learning rate is for 16 images a step; with fewer it is scaled down in proportion.
auto_scale_lr = dict(enable=True, base_batch_size=16)
