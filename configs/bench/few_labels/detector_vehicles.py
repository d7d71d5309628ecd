# The detector of photographs: the small benchmark's (AdamW, nothing frozen, 128 pixels) on the students'
# ResNet-18 of a quarter of the width, for 8 epochs.
_base_ = '../vehicles/detector_cpu.py'

model = dict(backbone=dict(base_channels=16), neck=dict(in_channels=[16, 32, 64, 128]))

_loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = _loader
val_dataloader = _loader
test_dataloader = _loader

train_cfg = dict(max_epochs=8, val_interval=2)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='MultiStepLR', by_epoch=True, milestones=[5, 7], gamma=0.1),
]
