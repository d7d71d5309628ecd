# HSAKD*: half-width MobileNetV2 learns from the jointly trained VGG13-bn teacher.
_base_ = 'cifar100_vgg13_mbv2.py'

default_hooks = dict(distillation=dict(checkpoint='work_dirs/cifar100_vgg13_teacher_joint'))
