# HSAKD*: half-width MobileNetV2 learns from the jointly trained ResNet-50 teacher.
_base_ = 'cifar100_r50_mbv2.py'

default_hooks = dict(distillation=dict(checkpoint='work_dirs/cifar100_r50_teacher_joint'))
