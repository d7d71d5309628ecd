# Faster R-CNN R50-FPN on COCO 2017, 1x.
_base_ = 'faster-rcnn_r18_fpn_1x_coco.py'

model = dict(backbone=dict(depth=50), neck=dict(in_channels=[256, 512, 1024, 2048]))
