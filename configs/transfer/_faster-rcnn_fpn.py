# MMDetection's Faster R-CNN with FPN, on our backbone.
_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', '_resnet18.py']

model = dict(backbone=_base_.backbone, neck=dict(in_channels=_base_.channels))
