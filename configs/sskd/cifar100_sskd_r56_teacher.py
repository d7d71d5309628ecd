# SSKD's teacher: the plain ResNet-56, frozen, with a head that learns on top of it.
_base_ = '_cifar100_sskd_teacher.py'

model = dict(
    backbone=dict(type='CifarResNet', depth=56, num_classes=100),
    checkpoint='work_dirs/cifar100_r56')
