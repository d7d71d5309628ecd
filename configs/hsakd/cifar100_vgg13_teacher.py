# The paper's Teacher: the plain VGG13-bn, frozen, with branches that learn on top of it.
_base_ = '_cifar100_teacher.py'

model = dict(
    backbone=dict(type='VGG', depth=13, num_classes=100),
    checkpoint='work_dirs/cifar100_vgg13')
