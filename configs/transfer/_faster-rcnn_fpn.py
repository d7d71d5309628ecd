# MMDetection's Faster R-CNN with FPN, on our backbone. 'auto' becomes the channels of its stages
# when the detector is built, whatever depth or model_name a config inherits this with.
_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', '_resnet18.py']

model = dict(backbone=_base_.backbone, neck=dict(in_channels='auto'))
