# MMDetection's Faster R-CNN with FPN and our backbone. 'auto' is replaced by the channels of the
# backbone's stages when the detector is built, for any depth or model_name.
_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', '_resnet18.py']

model = dict(backbone=_base_.backbone, neck=dict(in_channels='auto'))
