# RetinaNet R18-FPN on COCO 2017, 1x: MMDetection's config with our backbone instead of R50.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py', '_resnet18.py',
    'mmdet::_base_/datasets/coco_detection.py', '_1x.py'
]

model = dict(backbone=_base_.backbone, neck=dict(in_channels='auto'))
optim_wrapper = dict(optimizer=dict(lr=0.01))  # as in MMDetection for RetinaNet
