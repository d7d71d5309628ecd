# HSAKD*: ResNet-8x4 learns from the jointly trained ResNet-32x4 teacher.
_base_ = 'cifar100_r32x4_r8x4.py'

default_hooks = dict(distillation=dict(checkpoint='work_dirs/cifar100_r32x4_teacher_joint'))
