# RSKD (our reconstruction), without a teacher. By the rules of configs/rskd: an average over one epoch, which has 18
# steps here. The bench file sets the ramp-up, 80/300 of the length.
_base_ = '_tiny47.py'

model = dict(
    type='RSKD', data_preprocessor=_base_.data_preprocessor, backbone=_base_.student, momentum=1 - 1 / 18)
