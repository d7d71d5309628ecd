# Faster R-CNN R18-FPN on Pascal VOC: 07+12 trainval, 07 test; 4 epochs of the data repeated 3 times.
# tools/transfer_det.sh sets the file of the backbone's weights.
_base_ = ['_faster-rcnn_fpn.py', '_voc0712.py']

model = dict(roi_head=dict(bbox_head=dict(num_classes=20)))

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=4, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=4, by_epoch=True, milestones=[3], gamma=0.1)
]
