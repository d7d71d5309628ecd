# The paper's Teacher*: WRN-40-2 and its branches learn together, from scratch.
_base_ = '_cifar100_teacher_joint.py'

model = dict(backbone=dict(type='WideResNet', depth=40, widen_factor=2, num_classes=100))
