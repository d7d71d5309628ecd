# Mask R-CNN R18-FPN on COCO 2017, 1x: MMDetection's config with our backbone instead of R50.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py', '_resnet18.py',
    'mmdet::_base_/datasets/coco_instance.py', '_1x.py'
]

model = dict(backbone=_base_.backbone, neck=dict(in_channels='auto'))
