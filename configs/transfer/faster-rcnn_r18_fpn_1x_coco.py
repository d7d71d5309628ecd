# Faster R-CNN R18-FPN on COCO 2017, 1x: 12 epochs, 8 GPUs x 2 images.
# tools/transfer_det.sh sets where the backbone's weights come from, and refuses a partial fit.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py', 'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py', 'mmdet::_base_/default_runtime.py'
]
custom_imports = dict(imports=['hsakd_mm'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        depth=18,
        init_cfg=dict(_delete_=True, type='hsakd_mm.StrictPretrained', checkpoint=None)),
    neck=dict(in_channels=[64, 128, 256, 512]))

# The learning rate is for 16 images a step; with fewer it is scaled down in proportion.
auto_scale_lr = dict(enable=True)
