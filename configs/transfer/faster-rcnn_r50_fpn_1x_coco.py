# Faster R-CNN R50-FPN on COCO 2017, 1x.
_base_ = 'faster-rcnn_r18_fpn_1x_coco.py'

model = dict(backbone=dict(depth=50))
