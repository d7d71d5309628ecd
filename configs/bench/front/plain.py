# The student without a teacher.
_base_ = '_cifar10.py'

model = dict(
    type='Classifier',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='CifarResNet', depth=20, num_classes=10))
