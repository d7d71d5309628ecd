# Faster R-CNN on COCO 2017, 1x, with timm's plain ViT-S/16 as the backbone and ViTDet's neck, which
# makes the pyramid of the last map. For a ViT with patches of 14 pixels (DINOv2) set
# neck.in_stride=14.
_base_ = 'faster-rcnn_r18_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='hsakd_mm.TimmDetBackbone',
        model_name='vit_small_patch16_224',
        out_indices=(3,),
        drop_path_rate=0.1,
        init_cfg=_base_.backbone.init_cfg),
    neck=dict(
        _delete_=True,
        type='hsakd_mm.SimpleFeaturePyramid',
        in_channels='auto',
        out_channels=256,
        num_outs=5))

# Nothing is frozen; the rate falls by 0.7 from each block to the one before it, as in ViTDet.
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
    constructor='hsakd_mm.LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay=0.7, norm_decay_mult=0.0, bias_decay_mult=0.0))
