# SSKD's teacher: the plain VGG13-bn, frozen, with a head that learns on top of it.
_base_ = '_cifar100_sskd_teacher.py'

model = dict(
    backbone=dict(type='VGG', depth=13, num_classes=100),
    checkpoint='work_dirs/cifar100_vgg13')
