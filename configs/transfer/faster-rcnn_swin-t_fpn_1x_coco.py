# Faster R-CNN FPN on COCO 2017, 1x, with timm's Swin-T as the backbone.
_base_ = 'faster-rcnn_r18_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='hsakd_mm.TimmDetBackbone',
        model_name='swin_tiny_patch4_window7_224',
        drop_path_rate=0.2,
        init_cfg=_base_.backbone.init_cfg))

# MMDetection's for Swin, with layer-wise decay of the rate; nothing is frozen.
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    constructor='hsakd_mm.LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay=0.8, norm_decay_mult=0.0))
