# RSKD (our reconstruction), no teacher. By the rules of configs/rskd: an average over about one
# epoch, here 63 steps (from step 558 on; before, over a tenth of the steps so far), and a ramp-up over
# 80/300 of the training.
_base_ = '_slice.py'

model = dict(
    type='RSKD',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='CifarResNet', depth=20, num_classes=10),
    momentum=1 - 1 / 63,
    ramp_up_epochs=8 * 80 / 300)
