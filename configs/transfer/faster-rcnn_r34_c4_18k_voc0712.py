# Faster R-CNN R34-C4 on Pascal VOC 07+12.
_base_ = 'faster-rcnn_r18_c4_18k_voc0712.py'

model = dict(backbone=dict(depth=34), roi_head=dict(shared_head=dict(depth=34)))
