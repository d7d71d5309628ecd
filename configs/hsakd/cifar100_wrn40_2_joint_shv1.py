# HSAKD*: ShuffleNetV1 learns from the jointly trained WRN-40-2 teacher.
_base_ = 'cifar100_wrn40_2_shv1.py'

default_hooks = dict(distillation=dict(checkpoint='work_dirs/cifar100_wrn40_2_teacher_joint'))
