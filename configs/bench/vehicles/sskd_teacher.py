# SSKD's teacher: plain_r34, frozen, with a self-supervised head. The bench file sets
# model.checkpoint.
_base_ = '_tiny47.py'

model = dict(
    type='SSKDTeacher', data_preprocessor=_base_.data_preprocessor, backbone=_base_.r34)
