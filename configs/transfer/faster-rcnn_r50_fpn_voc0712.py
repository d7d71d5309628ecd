# Faster R-CNN R50-FPN on Pascal VOC 07+12.
_base_ = 'faster-rcnn_r18_fpn_voc0712.py'

model = dict(backbone=dict(depth=50))
