# HSAKD*: ResNet-20 learns from the jointly trained ResNet-56 teacher.
_base_ = 'cifar100_r56_r20.py'

default_hooks = dict(distillation=dict(checkpoint='work_dirs/cifar100_r56_teacher_joint'))
