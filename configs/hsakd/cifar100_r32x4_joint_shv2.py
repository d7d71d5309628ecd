# HSAKD*: ShuffleNetV2 learns from the jointly trained ResNet-32x4 teacher.
_base_ = 'cifar100_r32x4_shv2.py'

default_hooks = dict(distillation=dict(checkpoint='work_dirs/cifar100_r32x4_teacher_joint'))
