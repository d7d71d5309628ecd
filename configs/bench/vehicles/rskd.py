# RSKD (our reconstruction), no teacher; momentum and ramp-up by the rules of configs/rskd. The bench
# file sets both, as they follow from the length.
_base_ = '_tiny47.py'

model = dict(type='RSKD', data_preprocessor=_base_.data_preprocessor, backbone=_base_.r18)
