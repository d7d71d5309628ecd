# HSAKD*: ResNet-18 learns from the jointly trained ResNet-34 teacher.
_base_ = 'imagenet_r34_r18.py'

default_hooks = dict(distillation=dict(checkpoint='work_dirs/imagenet_r34_teacher_joint'))
