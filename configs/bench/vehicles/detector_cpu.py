# The same for a CPU: half-width backbone, heads of the demo's size, 128 pixels, 12 epochs. Anchors
# and the sizes that divide the pyramid's levels are smaller, and fewer regions are looked at.
_base_ = 'detector.py'

model = dict(
    backbone=dict(stem_channels=64, base_channels=32),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64),
    rpn_head=dict(in_channels=64, feat_channels=64, anchor_generator=dict(scales=[4])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, finest_scale=14),  # of 56 for 416 pixels and more
        bbox_head=dict(in_channels=64, fc_out_channels=256)),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=150, max_per_img=50),
        rcnn=dict(sampler=dict(num=32))),
    test_cfg=dict(
        rpn=dict(nms_pre=200, max_per_img=100), rcnn=dict(max_per_img=20)))

_scale = (128, 128)


def _smaller(pipeline):
    return [dict(step, scale=_scale) if step['type'] == 'Resize' else step for step in pipeline]


train_dataloader = dict(
    num_workers=1, dataset=dict(pipeline=_smaller(_base_.train_dataloader.dataset.pipeline)))
_measured = dict(pipeline=_smaller(_base_.val_dataloader.dataset.pipeline))
val_dataloader = dict(num_workers=1, dataset=_measured)
test_dataloader = dict(num_workers=1, dataset=_measured)

optim_wrapper = dict(optimizer=dict(lr=4e-4))  # a narrower network, and half the epochs
train_cfg = dict(max_epochs=12, val_interval=4)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='MultiStepLR', by_epoch=True, milestones=[8, 11], gamma=0.1),
]
