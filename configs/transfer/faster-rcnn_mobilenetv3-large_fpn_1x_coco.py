# Faster R-CNN FPN on COCO 2017, 1x, with timm's MobileNetV3-Large as the backbone.
# For another network of timm's change model_name; the neck's channels follow.
_base_ = 'faster-rcnn_r18_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='hsakd_mm.TimmDetBackbone',
        model_name='mobilenetv3_large_100',
        frozen_stages=1,
        norm_eval=True,
        init_cfg=_base_.backbone.init_cfg))
