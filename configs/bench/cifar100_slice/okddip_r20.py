# OKDDip: ResNet-20 as leader of three peers; no teacher. The ramp is in proportion as the length is:
# 80 epochs of 300, here of 8.
_base_ = '_slice.py'

model = dict(
    type='OKDDip',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='CifarResNet', depth=20, num_classes=10),
    ramp_up_epochs=8 * 80 / 300)
