# The student without a teacher.
_base_ = '_tiny47.py'

model = dict(type='Classifier', data_preprocessor=_base_.data_preprocessor, backbone=_base_.student)
