# MMDetection's Faster R-CNN without FPN ("C4") and our backbone: the stem and three stages give one
# map of stride 16, and the fourth stage is the head of each proposal. MMDetection's config is for
# Caffe's ResNet-50 with BGR input; this one takes RGB, as torchvision's networks do.
_base_ = ['mmdet::_base_/models/faster-rcnn_r50-caffe-c4.py', '_resnet18.py']

_last_stage = 'layer4.'  # backbone and head together use every tensor of the file

model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(
        _base_.backbone, init_cfg=dict(_base_.backbone.init_cfg, without=_last_stage)),
    rpn_head=dict(in_channels=256, feat_channels=256),
    roi_head=dict(
        shared_head=dict(
            depth=18,
            norm_eval=_base_.backbone.norm_eval,
            norm_cfg=_base_.backbone.norm_cfg,
            style='pytorch',
            init_cfg=dict(_base_.backbone.init_cfg, only=_last_stage)),
        bbox_roi_extractor=dict(out_channels=256),
        bbox_head=dict(in_channels=512)))
