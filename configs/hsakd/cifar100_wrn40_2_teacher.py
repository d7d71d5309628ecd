# The paper's Teacher: the plain WRN-40-2, frozen, with branches that learn on top of it.
_base_ = '_cifar100_teacher.py'

model = dict(
    backbone=dict(type='WideResNet', depth=40, widen_factor=2, num_classes=100),
    checkpoint='work_dirs/cifar100_wrn40_2')
